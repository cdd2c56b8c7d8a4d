"""How long who waits, who leaves, who is too much, and how all ends; and whether strangers' clients get on with it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tally_service.http_listener import Listener
from tally_service.http_request import Exchange, Request
from tests.service.http_site import (
    BOUND_S,
    IMPATIENT,
    LARGE,
    MAX_BODY_BYTES,
    answers_in,
    open_site,
    read_answer,
    read_to_end,
    read_until,
)

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def get(path: str) -> bytes:
    return b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode()


# Who waits.


@pytest.mark.parametrize("start", [b"", b"\r\n", GET, GET * 3])
def test_who_asks_nothing_is_ended(start: bytes) -> None:
    with open_site(patience=IMPATIENT) as site:
        assert [each.status for each in site.ask(start)] == [200] * start.count(b"GET")


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", GET[:-1], GET + b"GET /b"])
def test_who_does_not_end_a_head_is_told(start: bytes) -> None:
    with open_site(patience=IMPATIENT) as site:
        answers = [(each.status, each.headers.get("connection")) for each in site.ask(start)]
    assert answers == [(200, None)] * start.count(GET) + [(408, "close")]


def test_who_sends_a_head_slowly_gains_nothing() -> None:
    with open_site(patience=IMPATIENT) as site, site.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nx: ")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                client.sendall(b"a")
                site.pass_turns()
        site.wait_until_empty()
    assert site.asked == []


def test_who_waits_for_an_answer_is_not_ended() -> None:
    with open_site(patience=IMPATIENT) as site, site.connect() as client, site.connect() as other:
        client.sendall(get("/gate") + b"GET /b")
        site.wait_until_asked("GET /gate")
        assert other.recv(1) == b""  # one that came later, and was waited for in vain
        site.open_gate()
        assert [each.status for each in answers_in(read_to_end(client))] == [200, 408]


@pytest.mark.parametrize("path", ["/large", "/endless"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_who_takes_nothing_is_ended(path: str, version: str) -> None:
    with open_site(patience=IMPATIENT) as site, site.connect(receive_bytes=4_096) as client:
        client.sendall(f"GET {path} HTTP/{version}\r\nhost: a\r\n\r\n".encode())
        site.wait_until_asked(f"GET {path}")
        site.wait_until_empty()
        assert path == "/large" or site.gone.wait(BOUND_S)


def test_who_takes_something_is_not_ended() -> None:
    with open_site(patience=IMPATIENT) as site, site.connect(receive_bytes=4_096) as client, site.connect() as other:
        client.sendall(get("/large"))
        site.wait_until_asked("GET /large")
        taken = client.recv(4_096, socket.MSG_WAITALL)
        site.pass_turns()
        assert other.recv(1) == b""
        (answer,) = answers_in(taken + read_to_end(client))
    assert answer.content == LARGE


def test_who_took_all_may_wait_for_more() -> None:
    with open_site(patience=IMPATIENT) as site, site.connect(receive_bytes=4_096) as client:
        client.sendall(get("/heavy"))
        site.wait_until_asked("GET /heavy")
        site.pass_turns()
        read_until(client, b"all\r\n")
        with site.connect() as other:
            assert other.recv(1) == b""
        site.open_gate()
        read_until(client, b"end\r\n0\r\n\r\n")


@pytest.mark.parametrize("sends_more", [False, True])
def test_who_stays_after_the_last_answer_is_ended(*, sends_more: bool) -> None:
    with open_site(patience=IMPATIENT) as site, site.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n")
        assert read_answer(client).status == 413
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sends_more:
                client.sendall(b"b" * 10_000)
        site.wait_until_empty()


# Who leaves.


def leave(client: socket.socket) -> None:
    client.close()


def leave_half(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)


def leave_rudely(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


LEAVES = pytest.mark.parametrize("leaves", [leave, leave_half, leave_rudely])


@LEAVES
@pytest.mark.parametrize(
    "start",
    [
        b"",
        GET,
        GET[:9],
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc",
        b"POST /late HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 999999\r\n\r\nabc",
        get("/gate"),
        get("/stream"),
        b"no request\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 9\r\n\r\nabc",
    ],
)
def test_nothing_is_left_of_who_leaves(start: bytes, leaves: Callable[[socket.socket], None]) -> None:
    with open_site() as site, site.connect() as client:
        client.sendall(start)
        site.wait_for(lambda: len(site.listener.connections) == 1 or b"no" in start, "the connection")
        site.pass_turns()
        leaves(client)
        site.wait_until_empty()


@LEAVES
@pytest.mark.parametrize("path", ["/waiting", "/endless"])
def test_a_stream_is_told_that_its_client_left(path: str, leaves: Callable[[socket.socket], None]) -> None:
    with open_site(patience=IMPATIENT) as site, site.connect() as client:
        client.sendall(get(path))
        client.recv(1)
        leaves(client)
        assert site.gone.wait(BOUND_S)
        site.wait_until_empty()


@LEAVES
def test_who_leaves_unheard_is_found_out_with_the_answer(leaves: Callable[[socket.socket], None]) -> None:
    with open_site() as site, site.connect() as client:
        client.sendall(get("/gate") + GET)
        site.wait_until_asked("GET /gate")
        leaves(client)
        site.open_gate()
        site.wait_until_empty()


def test_what_was_answered_reaches_who_sends_no_more() -> None:
    with open_site() as site, site.connect() as client:
        client.sendall(get("/large"))
        site.wait_until_asked("GET /large")
        client.shutdown(socket.SHUT_WR)
        (answer,) = answers_in(read_to_end(client))
    assert answer.content == LARGE


def test_who_sends_no_more_and_takes_nothing_is_ended() -> None:
    with open_site(patience=IMPATIENT) as site, site.connect(receive_bytes=4_096) as client:
        client.sendall(get("/large"))
        site.wait_until_asked("GET /large")
        client.shutdown(socket.SHUT_WR)
        site.wait_until_empty()


# Who is too much.


def test_connections_have_a_bound() -> None:
    with open_site(most_connections=2) as site:
        first, second = site.connect(), site.connect()
        with first, second:
            for client in (first, second):
                client.sendall(GET)
                assert read_answer(client).status == 200
            (refused,) = site.ask()
            assert (refused.status, refused.headers["retry-after"]) == (503, "2")
            first.close()
            site.wait_for(lambda: len(site.listener.connections) == 1, "room")
            assert [each.status for each in site.ask(LAST)] == [200]
            second.sendall(LAST)
            assert read_answer(second).status == 200


# How all ends.


def test_what_is_answered_is_answered_before_the_end() -> None:
    with open_site() as site, site.connect() as asking, site.connect() as idle, site.connect() as half:
        half.sendall(GET[:9])
        idle.sendall(GET)
        assert read_answer(idle).status == 200
        asking.sendall(get("/gate") + GET)
        site.wait_for(lambda: "GET /gate" in site.asked, "the request")
        site.stop()
        assert idle.recv(1) == b""
        assert half.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            site.connect()
        site.open_gate()
        (answer,) = answers_in(read_to_end(asking))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert "GET /" in site.asked
        assert len(site.asked) == 2


def test_who_has_no_answer_in_time_is_ended() -> None:
    with open_site(stop_timeout_s=0.05) as site, site.connect() as client:
        client.sendall(get("/waiting"))
        read_until(client, b"first\r\n")
        site.stop()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_a_port_that_others_have_is_said() -> None:
    async def application(request: Request, exchange: Exchange) -> None: ...

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use"):
        uvloop.run(Listener(application, 10).start("127.0.0.1", other.getsockname()[1]))


PROGRAM = """
import asyncio, sys
from tally_service.http_listener import serve

stopped = asyncio.Event()

async def application(request, exchange):
    stream = exchange.begin_stream(200, [])
    await stream.send(b"first")
    await stopped.wait()
    await stream.send(b"last")

serve(application, "127.0.0.1", int(sys.argv[1]), 10, on_stop=stopped.set)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_its_streams_when_it_is_told(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with socket.socket() as kept:  # nobody else is given the port
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind(("127.0.0.1", 0))
        port = kept.getsockname()[1]
        with subprocess.Popen((sys.executable, "-c", PROGRAM, str(port)), env=environment) as process:
            try:
                with connect_when_it_listens(port) as client:
                    client.sendall(GET)
                    read_until(client, b"first\r\n")
                    process.send_signal(number)
                    assert read_to_end(client) == b"4\r\nlast\r\n0\r\n\r\n"
                assert process.wait(BOUND_S) == 0
            finally:
                process.kill()


def connect_when_it_listens(port: int) -> socket.socket:
    end = time.monotonic() + BOUND_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), BOUND_S)
        except ConnectionRefusedError:
            assert time.monotonic() < end


# Strangers.


def test_the_client_of_the_standard_library() -> None:
    with open_site() as site:
        client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=BOUND_S)
        client.request("GET", "/a?b", headers={"X": "y"})
        assert json.load(client.getresponse())[:3] == ["GET", "/a", "b"]
        client.request("HEAD", "/a")
        assert client.getresponse().read() == b""
        client.request("POST", "/", body="b" * 200_000)
        assert json.load(client.getresponse())[4] == "b" * 200_000
        client.request("GET", "/waiting")
        assert client.getresponse().read(5) == b"first"
        client.close()
        client.request("POST", "/", body=iter([b"in", b"chunks"]))
        refused = client.getresponse()
        assert (refused.status, refused.read()) == (411, b"")
        client.request("POST", "/", body=b"b" * (MAX_BODY_BYTES + 1))
        assert client.getresponse().status == 413
        client.close()
        assert site.gone.wait(BOUND_S)


def curl(*arguments: str, content: bytes = b"") -> tuple[bytes, list[str]]:
    """The contents, and status, version, and new connections of each."""
    form = r"%{stderr}%{http_code} %{http_version} %{num_connects}\n"
    command = ("curl", "--silent", "--noproxy", "*", "--max-time", str(BOUND_S), "--write-out", form, *arguments)
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    return done.stdout, done.stderr.decode().splitlines()


def test_curl() -> None:
    body = b"b" * 200_000
    with open_site() as site:
        address = f"http://127.0.0.1:{site.port}"
        content, said = curl(f"{address}/a?b", f"{address}/c")
        assert content.startswith(b'["GET", "/a", "b", ')
        assert said == ["200 1.1 1", "200 1.1 0"]
        assert curl("--http2", f"{address}/", f"{address}/")[1] == ["200 1.1 1", "200 1.1 1"]
        assert curl("--http1.0", f"{address}/")[1] == ["200 1.1 1"]
        assert curl("--head", f"{address}/")[1] == ["200 1.1 1"]
        for more in ((), ("--http2",), ("--header", "expect: 100-continue"), ("--header", "expect:")):
            content, said = curl("--data-binary", "@-", *more, f"{address}/", content=body)
            assert json.loads(content)[4].encode() == body
            assert said == ["200 1.1 1"]
        for more in ((), ("--http2",), ("--header", "expect: 100-continue"), ("--header", "expect:")):
            assert curl("--data-binary", "@-", *more, f"{address}/", content=body * 20)[1] == ["413 1.1 1"]
        chunked = ("--header", "transfer-encoding: chunked")
        assert curl("--data-binary", "@-", *chunked, f"{address}/", content=body)[1] == ["411 1.1 1"]
