"""Between server and Flask: bodies in bounds, headers that pass for no others, and requests that hold up no others."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from identity_oidc.front import MAX_BODY_BYTES, Front
from identity_oidc.provider import Provider
from identity_oidc.streams import WaitingStreams
from identity_oidc.workplace import THREADS_AFTER_S, Workplace
from tally_service.http_request import Answer, environ_of
from tests.exchange import OtherEnd, request_of
from tests.oidc.test_service import Service, running

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["running"]
BOUND_S = 20.0


def echo(environ: WSGIEnvironment) -> Answer:
    return 200, [("X-Method", environ["REQUEST_METHOD"])], environ["wsgi.input"].read()


def status_of(headers: dict[str, str], body: bytes | None, method: str = "POST") -> tuple[int, bytes]:
    async def ask() -> tuple[int, bytes]:
        front = Front(echo, WaitingStreams(lambda _: {}), body_timeout_s=0.05)
        other = OtherEnd(body)
        await front(request_of(method, "/", [*headers.items()]), other)
        ((status, _, content),) = other.answers
        return status, content

    return asyncio.run(ask())


def test_a_body_of_its_told_length_is_taken() -> None:
    assert status_of({"content-length": "4"}, b"body") == (200, b"body")
    assert status_of({"content-length": str(MAX_BODY_BYTES)}, bytes(MAX_BODY_BYTES))[0] == 200
    assert status_of({}, b"") == (200, b"")
    assert status_of({"content-length": "4"}, None, "GET") == (200, b""), "no body is awaited that nobody reads"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-length": str(MAX_BODY_BYTES + 1)}, b"", 413),
        ({"content-length": "9" * 30}, b"", 413),
        ({"content-length": "-1"}, b"", 400),
        ({"content-length": "²"}, b"", 400),
        ({"content-length": "4"}, b"bod", 400),
        ({"content-length": "4"}, None, 408),
        ({"transfer-encoding": "chunked"}, b"body", 411),
        ({"transfer-encoding": "chunked", "content-length": "4"}, b"body", 411),
    ],
)
def test_other_bodies_are_refused(headers: dict[str, str], body: bytes | None, status: int) -> None:
    assert status_of(headers, body) == (status, b"")


def test_headers_pass_for_no_others() -> None:
    sent = [
        ("x_real_ip", "10.0.0.1"),
        ("content_length", "9"),
        ("content-length", "3"),
        ("content-type", "text/plain"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("dpop", "one"),
        ("dpop", "two"),
    ]
    environ = environ_of(request_of("GET", "/\u00c3\u00a9", sent), b"body", "127.0.0.1")
    assert not {"HTTP_X_REAL_IP", "HTTP_CONTENT_LENGTH"} & set(environ)
    assert (environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"]) == ("4", "text/plain")
    assert (environ["HTTP_COOKIE"], environ["HTTP_DPOP"]) == ("a=1; b=2", "one,two")
    assert environ["PATH_INFO"] == "/é".encode().decode("latin-1")
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_what_takes_long_sends_others_to_threads_until_it_is_quick_again() -> None:
    now = 0.0

    def answer(environ: WSGIEnvironment) -> Answer:
        nonlocal now
        now += environ["takes_s"]
        return 200, [], threading.current_thread().name.encode()

    async def ask() -> list[bool]:
        nonlocal now
        workplace = Workplace(answer, 2, slow_s=0.5, ticks=lambda: now)
        here = []
        for takes_s in (0.4, 0.6, 0.0, 0.6, THREADS_AFTER_S, THREADS_AFTER_S + 1, 0.0):
            _, _, name = await workplace.answer({"takes_s": takes_s})
            here.append(name.decode() == threading.current_thread().name)
        now += THREADS_AFTER_S
        here.append((await workplace.answer({"takes_s": 0.0}))[2].decode() == threading.current_thread().name)
        return here

    assert asyncio.run(ask()) == [True, True, False, False, False, False, False, True]


def test_over_a_network_database_every_request_has_a_thread() -> None:
    def answer(_: WSGIEnvironment) -> Answer:
        return 200, [], threading.current_thread().name.encode()

    async def ask() -> bytes:
        return (await Workplace(answer, 1, in_loop=False).answer({}))[2]

    assert asyncio.run(ask()).startswith(b"request")


def test_a_request_that_hangs_holds_up_no_others_but_once() -> None:
    """What hangs after the first slow one is in a thread: the event loop answers on."""
    begun, end = threading.Event(), threading.Event()

    def answer(environ: WSGIEnvironment) -> Answer:
        if environ["PATH_INFO"] == "/hangs":
            begun.set()
            assert end.wait(BOUND_S)
        return 200, [], b""

    async def ask() -> None:
        workplace = Workplace(answer, 2, slow_s=-1)
        await workplace.answer({"PATH_INFO": "/"})
        hanging = asyncio.create_task(workplace.answer({"PATH_INFO": "/hangs"}))
        assert await asyncio.to_thread(begun.wait, BOUND_S)
        assert (await workplace.answer({"PATH_INFO": "/"}))[0] == 200
        end.set()
        assert (await asyncio.wait_for(hanging, BOUND_S))[0] == 200

    asyncio.run(ask())


@pytest.mark.e2e
@pytest.mark.xdist_group("oidc-service")
def test_the_server_takes_no_body_that_broke_off(running: tuple[Service, Provider]) -> None:
    service, _ = running
    port = int(service.issuer.rpartition(":")[2])
    refused = {
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n": b"HTTP/1.1 411 ",
        b"Content-Length: 70000\r\n\r\nabc": b"HTTP/1.1 413 ",
    }
    for rest, status in refused.items():
        with socket.create_connection(("127.0.0.1", port), timeout=BOUND_S) as sender:
            sender.sendall(b"POST /token HTTP/1.1\r\nHost: x\r\n" + rest)
            assert sender.recv(1_024).startswith(status)
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND_S) as sender:
        sender.sendall(b"HEAD /jwks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while more := sender.recv(4_096):
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 0" not in head
    assert body == b""
