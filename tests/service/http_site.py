"""A listener in a thread of its own, the application that it serves, and the sockets that speak to it."""

# ruff: noqa: ARG002  applications of one kind are asked alike
from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import uvloop

from tally_service.http_connection import Patience
from tally_service.http_listener import Listener
from tally_service.http_request import Application, BodyError, Exchange, Request, receive_body

BOUND_S = 30.0
LOOK_EVERY_S = 0.02
MAX_BODY_BYTES = 250_000
IMPATIENT = Patience(head_s=0.2, idle_s=0.2, stuck_s=0.2, linger_s=0.2)
UNHURRIED = Patience(head_s=BOUND_S, idle_s=BOUND_S, stuck_s=BOUND_S, linger_s=BOUND_S)
LARGE = b"0123456789abcdef" * 524_288
"""More than the buffers of a connection hold."""

T = TypeVar("T")


class Site:
    """One listener. What its application was asked is in `asked`, who left in `gone`."""

    def __init__(self, stop_timeout_s: float) -> None:
        self.asked: list[str] = []
        self.gone = threading.Event()
        self.failed: list[str] = []
        self.port = 0
        self.listener: Listener
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._stop_timeout_s = stop_timeout_s
        self._gate: asyncio.Event

    async def answer(self, request: Request, exchange: Exchange) -> None:
        """What the path asks for."""
        self.asked.append(f"{request.method} {request.path}")
        route = getattr(self, f"_answer_{request.path.strip('/')}", self._answer_echo)
        await route(request, exchange)

    def open_gate(self) -> None:
        """Let the answers go that wait for it."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def call(self, function: Callable[[], T]) -> T:
        """What it says in the listener's thread."""
        result: Future[T] = Future()
        self._loop.call_soon_threadsafe(lambda: result.set_result(function()))
        return result.result(BOUND_S)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        end, pause = time.monotonic() + BOUND_S, threading.Event()
        while not self.call(condition):
            assert time.monotonic() < end, f"{what} did not come within {BOUND_S:g} s"
            pause.wait(0.005)

    def pass_turns(self) -> None:
        """Let the listener take what was sent to it until now."""
        for _ in range(3):
            self.call(lambda: None)

    def wait_until_empty(self) -> None:
        self.wait_for(lambda: not self.listener.connections, "the end of all connections")

    def wait_until_asked(self, *what: str) -> None:
        self.wait_for(lambda: self.asked == [*what], f"{what} as requests, and not {self.asked},")

    def connect(self, receive_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        client.settimeout(BOUND_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            client.connect(("127.0.0.1", self.port))
        except OSError:
            client.close()
            raise
        return client

    def ask(self, *packets: bytes) -> list[Answer]:
        """The answers to what is sent, until the server says that no more come."""
        return answers_in(self.ask_raw(*packets))

    def ask_raw(self, *packets: bytes) -> bytes:
        with self.connect() as client:
            for packet in packets:
                client.sendall(packet)
            return read_to_end(client)

    def run(self, listener: Listener) -> None:
        uvloop.run(self._serve(listener))

    async def _serve(self, listener: Listener) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.failed.append(str(context)))
        self._stop, self._gate = asyncio.Event(), asyncio.Event()
        self.listener = listener
        self.port = await listener.start("127.0.0.1", 0)
        await self._stop.wait()
        await listener.stop(self._stop_timeout_s)

    def stop(self) -> None:
        """Begin to stop."""
        self._loop.call_soon_threadsafe(self._stop.set)

    async def _answer_echo(self, request: Request, exchange: Exchange) -> None:
        try:
            body = await receive_body(request, exchange, MAX_BODY_BYTES, BOUND_S)
        except BodyError as error:
            exchange.respond(error.status, [], b"")
            return
        seen = [request.method, request.path, request.query_string, request.headers, body.decode("latin-1")]
        exchange.respond(200, [("content-type", "application/json")], json.dumps(seen).encode())

    async def _answer_unread(self, request: Request, exchange: Exchange) -> None:
        exchange.respond(200, [], b"unread")

    async def _answer_gate(self, request: Request, exchange: Exchange) -> None:
        await self._gate.wait()
        exchange.respond(200, [], json.dumps(request.headers).encode())

    async def _answer_late(self, request: Request, exchange: Exchange) -> None:
        """The body is asked for when the gate is open."""
        await self._gate.wait()
        await self._answer_echo(request, exchange)

    async def _answer_large(self, request: Request, exchange: Exchange) -> None:
        exchange.respond(200, [], LARGE)

    async def _answer_stream(self, request: Request, exchange: Exchange) -> None:
        stream = exchange.begin_stream(200, [])
        await stream.send(b"first")
        await stream.send(b"")
        await self._gate.wait()
        await stream.send(b"second")

    async def _answer_heavy(self, request: Request, exchange: Exchange) -> None:
        stream = exchange.begin_stream(200, [])
        await stream.send(LARGE)
        await stream.send(b"all")
        await self._gate.wait()
        await stream.send(b"end")

    async def _answer_endless(self, request: Request, exchange: Exchange) -> None:
        stream = exchange.begin_stream(200, [])
        try:
            while True:
                await stream.send(LARGE)
        finally:
            self.gone.set()

    async def _answer_waiting(self, request: Request, exchange: Exchange) -> None:
        try:
            await exchange.begin_stream(200, []).send(b"first")
            await exchange.until_gone()
        finally:
            self.gone.set()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes


@contextlib.contextmanager
def open_site(
    application: Application | None = None,
    most_connections: int = 100,
    patience: Patience = UNHURRIED,
    stop_timeout_s: float = BOUND_S,
) -> Iterator[Site]:
    """A site; at the end its thread is over, nobody is connected any more, and its loop had nothing to complain of."""
    site = Site(stop_timeout_s)
    listener = Listener(application or site.answer, most_connections, patience=patience, look_every_s=LOOK_EVERY_S)
    thread = threading.Thread(target=site.run, args=(listener,))
    thread.start()
    try:
        end, pause = time.monotonic() + BOUND_S, threading.Event()
        while not site.port:
            assert thread.is_alive()
            assert time.monotonic() < end
            pause.wait(0.005)
        yield site
        assert site.failed == []
    finally:
        with contextlib.suppress(RuntimeError):  # the test may have ended the loop by itself
            site.open_gate()
            site.stop()
        thread.join(2 * BOUND_S)
        assert not thread.is_alive()
    assert not listener.connections


def read_to_end(client: socket.socket) -> bytes:
    content = bytearray()
    while part := client.recv(65_536):
        content += part
    return bytes(content)


def read_exactly(client: socket.socket, octets: int) -> bytes:
    content = bytearray()
    while len(content) < octets:
        part = client.recv(octets - len(content))
        assert part, f"there are {len(content)} octets, and not {octets}"
        content += part
    return bytes(content)


def read_until(client: socket.socket, end: bytes) -> bytes:
    """All up to and with this; no more must have come."""
    content = bytearray()
    while not content.endswith(end):
        part = client.recv(65_536)
        assert part, f"{bytes(content)!r} is all, without {end!r}"
        content += part
    return bytes(content)


def read_answer(client: socket.socket) -> Answer:
    """One answer that tells its length, with nothing after it."""
    content = bytearray()
    while True:
        part = client.recv(65_536)
        assert part, f"{bytes(content[:200])!r} is all"
        content += part
        first, mark, rest = bytes(content).partition(b"\r\n\r\n")
        if mark and len(rest) >= int(_headers(first)[1].get("content-length", 0)):
            (answer,) = answers_in(bytes(content))
            return answer


def answers_in(content: bytes, *, is_head: bool = False) -> list[Answer]:
    """Answers one after the other, the last of which may be without length."""
    answers = []
    while content:
        first, mark, content = content.partition(b"\r\n\r\n")
        assert mark, f"{first!r} is no whole head"
        status, headers = _headers(first)
        if is_head or status in {100, 204, 304}:
            length = 0
        elif headers.get("transfer-encoding") == "chunked":
            body, content = _unchunked(content)
            answers.append(Answer(status, headers, body))
            continue
        else:
            length = int(headers.get("content-length", len(content)))
        assert length <= len(content), "an answer was cut off"
        answers.append(Answer(status, headers, content[:length]))
        content = content[length:]
    return answers


def _headers(first: bytes) -> tuple[int, dict[str, str]]:
    line, *others = first.decode("latin-1").split("\r\n")
    version, status, _ = line.split(" ", 2)
    assert version == "HTTP/1.1"
    pairs = [each.split(": ", 1) for each in others]
    assert len(dict(pairs)) == len(pairs), f"a header twice in {pairs}"
    return int(status), dict(pairs)


def _unchunked(content: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, content = content.partition(b"\r\n")
        length = int(size, 16)
        body, end, content = body + content[:length], content[length : length + 2], content[length + 2 :]
        assert end == b"\r\n"
        if not length:
            return body, content
