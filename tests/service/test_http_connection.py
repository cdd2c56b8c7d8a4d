"""What is a request and what is not, where one ends and the next begins, and what the client sees of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tally_service import http_connection
from tally_service.http_connection import MAX_HEAD_BYTES, MAX_HEADERS, MAX_WAITING, Patience
from tally_service.http_request import Exchange, GoneError, Request
from tests.service.http_site import (
    LARGE,
    MAX_BODY_BYTES,
    Answer,
    Site,
    answers_in,
    open_site,
    read_answer,
    read_exactly,
    read_to_end,
    read_until,
)

GET = b"GET / HTTP/1.1\r\nhost: a\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
LAST = b"connection: close\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    with open_site() as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Site:
    shared.asked.clear()
    return shared


def only(answers: list[Answer]) -> Answer:
    (answer,) = answers
    return answer


def get(path: str, more: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\nhost: a\r\n%b\r\n" % (path.encode(), more)


def post(path: str, length: int, more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n%b\r\n" % (path.encode(), length, more)


# What is a request.


@pytest.mark.parametrize(
    ("request_", "seen"),
    [
        (GET + LAST + b"\r\n", ["GET", "/", "", ""]),
        (b"\r\n" + GET + LAST + b"\r\n", ["GET", "/", "", ""]),
        (b"GET / HTTP/1.0\r\n\r\n", ["GET", "/", "", ""]),
        (b"GET /a%2Fb%C3%A4%0d%zz?c=%20 HTTP/1.0\r\n\r\n", ["GET", "/a/b\xc3\xa4\r%zz", "c=%20", ""]),
        (b"GET //b/c HTTP/1.0\r\n\r\n", ["GET", "//b/c", "", ""]),
        (b"GET http://A:1/b?c HTTP/1.1\r\nhost: a:1\r\n" + LAST + b"\r\n", ["GET", "/b", "c", ""]),
        (b"GET http://a HTTP/1.1\r\nhost: a\r\n" + LAST + b"\r\n", ["GET", "/", "", ""]),
        (POST + LAST + b"content-length: 3 \r\n\r\nabc", ["POST", "/", "", "abc"]),
        (POST + LAST + b"content-length: 0\r\n\r\n", ["POST", "/", "", ""]),
        (POST + LAST + b"\r\n", ["POST", "/", "", ""]),
        (b"CONNECT /a HTTP/1.1\r\nhost: a\r\n\r\n", ["CONNECT", "/a", "", ""]),
    ],
)
def test_a_request(site: Site, request_: bytes, seen: list[str]) -> None:
    answer = only(site.ask(request_))
    assert answer.status == 200
    method, path, query_string, _, body = json.loads(answer.content)
    assert [method, path, query_string, body] == seen


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", 400),
        (POST + b"content-length: 0\r\ncontent-length: 0\r\n\r\n", 400),
        (POST + b"content-length: 0, 0\r\n\r\n", 400),
        (POST + b"content-length: +0\r\n\r\n", 400),
        (POST + b"content-length: 99999999999999999999999\r\n\r\n", 400),
        (POST + b"content-length : 0\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked, identity\r\n\r\n", 400),
        (POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (GET + b"x: a\r\n b\r\n\r\n", 400),
        (GET + b" x: a\r\n\r\n", 400),
        (GET + b"x: a\n\r\n", 400),
        (GET + b"x: a\rb\r\n\r\n", 400),
        (GET + b"x: a\0b\r\n\r\n", 400),
        (GET + b"x\0: a\r\n\r\n", 400),
        (GET + b": a\r\n\r\n", 400),
        (GET + b"x y: a\r\n\r\n", 400),
        (GET + b"x\r\n\r\n", 400),
        (GET + b"host: a\r\n\r\n", 400),
        (GET + b"host: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nhost: a\n\n", 400),
        (b"GET /a\tb HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET /\xe4 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nhost: a\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET http://x@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET http://[a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET http:// HTTP/1.1\r\nhost:\r\n\r\n", 400),
        (b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.2\r\nhost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_no_request(site: Site, start: bytes, status: int) -> None:
    answer = only(site.ask(start + SMUGGLED))
    assert (answer.status, answer.headers["connection"], answer.content) == (status, "close", b"")
    assert site.asked == []


@pytest.mark.parametrize(
    "rest",
    [b"0\r\n\r\n", b"3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n", b"0x3\r\n", b"3\nabc\n0\n\n", b"3 \r\nabc\r\n", b"f" * 17],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_nothing_is_taken_for_a_request_after_a_body_in_chunks(site: Site, version: bytes, rest: bytes) -> None:
    start = b"POST / HTTP/%b\r\nhost: a\r\nconnection: keep-alive\r\n" % version
    answer = only(site.ask(start + b"transfer-encoding: chunked\r\n\r\n" + rest + SMUGGLED))
    assert (answer.status, answer.headers["connection"]) == (411, "close")
    assert site.asked == ["POST /"]


def test_headers_are_as_they_were_sent(site: Site) -> None:
    answer = only(site.ask(GET + LAST + b"X-A:  b c\t \r\nx-A:\r\nempty: \r\nlatin: \xe4\r\n\r\n"))
    headers = [["host", "a"], ["connection", "close"], ["x-a", "b c"], ["x-a", ""], ["empty", ""], ["latin", "\xe4"]]
    assert json.loads(answer.content)[3] == headers


def test_what_comes_after_a_body_in_chunks_is_no_header() -> None:
    with open_site() as site, site.connect() as client:
        client.sendall(get("/gate", b"transfer-encoding: chunked\r\n") + b"0\r\nauthorization: x\r\n\r\n")
        site.wait_until_asked("GET /gate")
        site.open_gate()
        assert b"authorization" not in read_to_end(client)


# Bounds of a head.


def head_of(octets: int) -> bytes:
    """One that counts so many octets."""
    value = octets - len("/hosta") - len("connectionclose") - len("x")
    return GET + LAST + b"x: %b\r\n\r\n" % (b"v" * value)


@pytest.mark.parametrize("part", [1 << 20, 1_000, 7_001])
@pytest.mark.parametrize(
    ("start", "status"),
    [
        (head_of(MAX_HEAD_BYTES), 200),
        (head_of(MAX_HEAD_BYTES + 1), 431),
        (b"GET /%b HTTP/1.0\r\n\r\n" % (b"p" * (MAX_HEAD_BYTES - 1)), 200),
        (b"GET /%b HTTP/1.0\r\n\r\n" % (b"p" * MAX_HEAD_BYTES), 414),
        (GET + LAST + b"x: y\r\n" * (MAX_HEADERS - 2) + b"\r\n", 200),
        (GET + LAST + b"x: y\r\n" * (MAX_HEADERS - 1) + b"\r\n", 431),
        (post("/", MAX_BODY_BYTES, LAST) + b"b" * MAX_BODY_BYTES, 200),
    ],
)
def test_a_head_has_bounds(site: Site, start: bytes, status: int, part: int) -> None:
    with site.connect() as client:
        for offset in range(0, len(start), part):
            client.sendall(start[offset : offset + part])
            site.pass_turns()
        assert only(answers_in(read_to_end(client))).status == status


@pytest.mark.parametrize(
    ("start", "filling", "status"),
    [
        (b"", b"\r\n", 431),
        (b"GET /", b"a", 414),
        (GET + b"x", b"a", 431),
        (GET + b"x:", b" ", 431),
        (GET + b"x: ", b"a", 431),
        (GET, b"x: y\r\n", 431),
    ],
)
def test_a_head_without_end_is_not_kept(site: Site, start: bytes, filling: bytes, status: int) -> None:
    with site.connect() as client:
        client.sendall(start)
        for _ in range(5):
            client.sendall(filling * 40_000)
            site.pass_turns()
        assert only(answers_in(read_to_end(client))).status == status
    assert site.asked == []


@pytest.mark.parametrize("start", [b"0\r\nx: ", b"0\r\n", b"1;"])
def test_what_surrounds_chunks_is_not_kept(start: bytes) -> None:
    with open_site() as site, site.connect() as client:
        client.sendall(get("/waiting", b"transfer-encoding: chunked\r\n") + start)
        for _ in range(5):
            client.sendall(b"a" * 40_000)
            site.pass_turns()
        assert site.gone.wait(30)
        assert only(answers_in(read_to_end(client))).content == b"first"


# One after the other.


def test_requests_are_answered_in_their_order() -> None:
    with open_site() as site, site.connect() as client:
        client.sendall(get("/gate") + post("/second", 3) + b"abc" + get("/third", LAST))
        site.wait_until_asked("GET /gate")
        site.pass_turns()
        assert site.asked == ["GET /gate"]
        site.open_gate()
        first, second, third = answers_in(read_to_end(client))
    assert first.content == b'[["host", "a"]]'
    assert json.loads(second.content)[4] == "abc"
    assert json.loads(third.content)[1] == "/third"
    assert [each.headers.get("connection") for each in (first, second, third)] == [None, None, "close"]


def test_what_came_before_no_request_is_answered(site: Site) -> None:
    assert [each.status for each in site.ask(get("/a") + get("/b") + b"\0" + SMUGGLED)] == [200, 200, 400]
    assert site.asked == ["GET /a", "GET /b"]


def test_nothing_is_answered_after_the_last(site: Site) -> None:
    assert [each.status for each in site.ask(get("/a") + get("/b", LAST) + SMUGGLED)] == [200, 200]
    assert site.asked == ["GET /a", "GET /b"]


def test_a_flood_of_requests_is_refused(site: Site) -> None:
    answers = site.ask(get("/") * 1_000)
    assert [each.status for each in answers] == [200] * (MAX_WAITING + 1) + [503]


def test_requests_wait_for_their_turn_in_whatever_packets() -> None:
    with open_site() as site, site.connect() as client:
        client.sendall(get("/gate"))
        for _ in range(MAX_WAITING - 1):
            client.sendall(get("/"))
            site.pass_turns()
        client.sendall(get("/", LAST))
        site.open_gate()
        assert [each.status for each in answers_in(read_to_end(client))] == [200] * (MAX_WAITING + 1)


@pytest.mark.parametrize("at_once", [False, True])
def test_nothing_new_is_answered_to_who_takes_no_answers(*, at_once: bool) -> None:
    more = get("/large") + get("/", LAST)
    with open_site() as site, site.connect(receive_bytes=4_096) as client:
        client.sendall(get("/large") + more * at_once)
        site.wait_until_asked("GET /large")
        site.pass_turns()
        client.sendall(more * (not at_once))
        site.pass_turns()
        assert site.asked == ["GET /large"]
        first, second, third = answers_in(read_to_end(client))
    assert [first.content, second.content] == [LARGE] * 2
    assert third.status == 200


def test_bounds_are_those_of_one_request(site: Site) -> None:
    with site.connect() as client:
        for _ in range(5):
            client.sendall(get("/", b"x: %b\r\n" % (b"y" * 30_000)))
            assert read_answer(client).status == 200
        for _ in range(5):
            client.sendall(post("/", 30_000) + b"b" * 30_000)
            assert read_answer(client).status == 200


@pytest.mark.parametrize(
    ("version", "asked", "answered"),
    [
        ("1.1", b"", None),
        ("1.1", b"connection: keep-alive\r\n", None),
        ("1.1", b"connection: close\r\n", "close"),
        ("1.1", b"connection: x, Close\r\n", "close"),
        ("1.0", b"connection: keep-alive\r\n", "keep-alive"),
        ("1.0", b"", "close"),
    ],
)
def test_what_is_kept(site: Site, version: str, asked: bytes, answered: str | None) -> None:
    with site.connect() as client:
        client.sendall(b"GET / HTTP/%b\r\nhost: a\r\n%b\r\n" % (version.encode(), asked))
        assert read_answer(client).headers.get("connection") == answered
        if answered == "close":
            assert client.recv(1) == b""
        else:
            client.sendall(GET + LAST + b"\r\n")
            assert only(answers_in(read_to_end(client))).status == 200


# Bodies.


def test_a_body_in_parts(site: Site) -> None:
    with site.connect() as client:
        client.sendall(post("/", 6))
        site.pass_turns()
        client.sendall(b"abc")
        site.pass_turns()
        client.sendall(b"def" + post("/", 1) + b"g" + get("/", LAST))
        bodies = [json.loads(each.content)[4] for each in answers_in(read_to_end(client))]
    assert bodies == ["abcdef", "g", ""]


@pytest.mark.parametrize("word", [b"100-continue", b"100-Continue"])
def test_a_body_is_asked_for(site: Site, word: bytes) -> None:
    with site.connect() as client:
        client.sendall(post("/", 3, b"expect: " + word + b"\r\n"))
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert json.loads(read_answer(client).content)[4] == "abc"
        client.sendall(post("/", 3, LAST + b"expect: 100-continue\r\n") + b"abc")
        assert only(answers_in(read_to_end(client))).status == 200


def test_a_body_is_not_asked_for(site: Site) -> None:
    assert only(site.ask(post("/", MAX_BODY_BYTES + 1, b"expect: 100-continue\r\n"))).status == 413
    with site.connect() as client:
        client.sendall(b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        site.wait_until_asked("POST /", "POST /")
        site.pass_turns()
        client.sendall(b"abc")
        assert only(answers_in(read_to_end(client))).status == 200


@pytest.mark.parametrize("packets", [1, 40])
@pytest.mark.parametrize(("path", "status"), [("/", 413), ("/unread", 200)])
def test_an_answer_is_seen_though_its_body_still_comes(site: Site, path: str, status: int, packets: int) -> None:
    body = b"b" * (2_000_000 // packets)
    with site.connect() as client:
        client.sendall(post(path, packets * len(body)))
        site.pass_turns()
        for _ in range(packets):
            client.sendall(body)
        client.sendall(SMUGGLED)
        answer = only(answers_in(read_to_end(client)))
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert site.asked == [f"POST {path}"]


def test_a_body_that_nobody_wanted_yet_is_not_kept() -> None:
    with open_site() as site, site.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        client.sendall(post("/late", 1 << 30))
        site.wait_until_asked("POST /late")
        client.settimeout(0)
        sent = blocked = 0
        while blocked < 20:
            try:
                sent += client.send(LARGE)
            except BlockingIOError:
                blocked += 1
                site.pass_turns()
            else:
                blocked = 0
            assert sent < len(LARGE)
        site.open_gate()
        client.settimeout(30)
        assert only(answers_in(read_to_end(client))).status == 413


def test_a_body_that_was_wanted_late_is_taken() -> None:
    with open_site() as site, site.connect() as client:
        client.sendall(post("/late", MAX_BODY_BYTES, LAST))
        site.wait_until_asked("POST /late")
        for _ in range(10):
            client.sendall(b"b" * (MAX_BODY_BYTES // 10))
            site.pass_turns()
        site.open_gate()
        assert json.loads(only(answers_in(read_to_end(client))).content)[4] == "b" * MAX_BODY_BYTES


@pytest.mark.parametrize(
    "more", [b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"]
)
def test_no_other_protocol_is_spoken(site: Site, more: bytes) -> None:
    answers = site.ask(get("/a") + get("/b", more) + SMUGGLED)
    assert [each.headers.get("connection") for each in answers] == [None, "close"]
    with site.connect() as client:
        client.sendall(post("/c", 6, more) + b"ab")
        site.pass_turns()
        client.sendall(b"cdef" + SMUGGLED)
        assert json.loads(only(answers_in(read_to_end(client))).content)[4] == "abcdef"
    assert only(site.ask(POST + more + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED)).status == 411
    assert site.asked == ["GET /a", "GET /b", "POST /c", "POST /"]


# Answers.


def test_a_stream_comes_in_parts() -> None:
    with open_site() as site, site.connect() as client, site.connect() as old:
        client.sendall(get("/stream"))
        old.sendall(b"GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        assert read_until(client, b"first\r\n").endswith(b"\r\n\r\n5\r\nfirst\r\n")
        assert b"transfer-encoding" not in read_until(old, b"\r\n\r\nfirst")
        site.open_gate()
        assert read_until(client, b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
        client.sendall(get("/", LAST))
        assert only(answers_in(read_to_end(client))).status == 200
        assert read_to_end(old) == b"second"


def test_a_stream_waits_for_its_client() -> None:
    with open_site() as site, site.connect(receive_bytes=4_096) as client:
        client.sendall(get("/endless"))
        part = b"%x\r\n%b\r\n" % (len(LARGE), LARGE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += read_exactly(client, 1)
        for _ in range(3):
            assert read_exactly(client, len(part)) == part


@pytest.mark.parametrize("path", ["/", "/stream", "/large"])
def test_an_answer_to_head_has_no_content(path: str) -> None:
    with open_site() as site, site.connect() as client:
        site.open_gate()
        client.sendall(b"HEAD %b HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
        first = read_until(client, b"\r\n\r\n")
        (answer,) = answers_in(first, is_head=True)
        assert ("content-length" in answer.headers) == (path != "/stream")
        client.sendall(get("/", LAST))
        assert only(answers_in(read_to_end(client))).status == 200


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("is_stream", [False, True])
def test_some_answers_have_no_content(status: int, *, is_stream: bool) -> None:
    async def application(request: Request, exchange: Exchange) -> None:
        if is_stream:
            await exchange.begin_stream(status, []).send(b"content")
        else:
            exchange.respond(status, [], b"content")

    with open_site(application) as site:
        answers = site.ask(get("/") + get("/", LAST))
    assert [each.status for each in answers] == [status] * 2
    assert not {"content-length", "transfer-encoding"} & {*answers[0].headers, *answers[1].headers}


@pytest.mark.parametrize(
    "headers", [[("Content-Length", "2")], [("X", "\xe4 b\tc"), ("x", "d")], [("Connection", "Close")]]
)
def test_headers_of_an_answer(headers: list[tuple[str, str]]) -> None:
    async def application(request: Request, exchange: Exchange) -> None:
        exchange.respond(200, headers, b"ok")

    with open_site(application) as site:
        answer = only(site.ask(get("/", LAST)))
    assert answer.headers.items() >= dict(headers).items()
    assert {each.lower() for each in answer.headers} >= {"date", "content-length", "connection"}


@pytest.mark.parametrize(
    "headers",
    [
        [("x", "a\r\nset-cookie: b")],
        [("x", "a\nb")],
        [("x", "a\rb")],
        [("x", "a\0b")],
        [("x\r\ny", "a")],
        [("x", "\u20ac")],
        [("content-length", "3")],
    ],
)
def test_no_headers_of_an_answer(headers: list[tuple[str, str]], caplog: pytest.LogCaptureFixture) -> None:
    async def application(request: Request, exchange: Exchange) -> None:
        exchange.respond(200, headers, b"ok")

    with open_site(application) as site:
        answer = only(site.ask(get("/") + SMUGGLED))
    assert (answer.status, answer.headers["connection"], answer.content) == (500, "close", b"")
    assert caplog.messages == ["a request failed"]


@pytest.mark.parametrize("moment", ["before", "no answer", "status", "length of a stream"])
def test_an_application_that_fails_before_its_answer(moment: str, caplog: pytest.LogCaptureFixture) -> None:
    async def application(request: Request, exchange: Exchange) -> None:
        if moment == "before":
            raise KeyError
        if moment == "status":
            exchange.respond(299, [], b"")
        if moment == "length of a stream":
            exchange.begin_stream(200, [("content-length", "3")])

    with open_site(application) as site:
        answer = only(site.ask(get("/") + SMUGGLED))
    assert (answer.status, answer.headers["connection"]) == (500, "close")
    assert caplog.messages == ["a request failed"]


@pytest.mark.parametrize("error", [KeyError(), GoneError(), asyncio.CancelledError()])
def test_an_application_that_fails_in_its_answer(error: BaseException) -> None:
    async def application(request: Request, exchange: Exchange) -> None:
        await exchange.begin_stream(200, []).send(b"first")
        raise error

    with open_site(application) as site, site.connect() as client:
        client.sendall(get("/"))
        content = b""
        with contextlib.suppress(ConnectionResetError):
            content = read_to_end(client)
        assert not content.endswith(b"0\r\n\r\n")
        site.wait_until_empty()


@pytest.mark.parametrize("error", [GoneError(), asyncio.CancelledError()])
def test_an_application_that_gives_up(error: BaseException) -> None:
    async def application(request: Request, exchange: Exchange) -> None:
        raise error

    with open_site(application) as site, site.connect() as client:
        client.sendall(get("/"))
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        site.wait_until_empty()


@pytest.mark.parametrize("error", [KeyError(), GoneError(), asyncio.CancelledError(), None])
def test_an_application_that_fails_after_its_answer(error: BaseException | None) -> None:
    async def application(request: Request, exchange: Exchange) -> None:
        exchange.respond(200, [], b"ok")
        if error is None:
            exchange.respond(200, [], b"again")
        else:
            raise error

    with open_site(application) as site:
        assert [each.content for each in site.ask(get("/") + get("/", LAST))] == [b"ok", b"ok"]


def test_a_stream_that_is_over_takes_nothing() -> None:
    streams = []

    async def application(request: Request, exchange: Exchange) -> None:
        if streams:
            with pytest.raises(GoneError):
                await streams[0].send(b"late")
        streams.append(exchange.begin_stream(200, []))
        await streams[-1].send(request.path.encode())

    with open_site(application) as site:
        assert [each.content for each in site.ask(get("/a") + get("/b", LAST))] == [b"/a", b"/b"]


def test_a_stream_lets_others_have_their_turn() -> None:
    turns = []

    async def application(request: Request, exchange: Exchange) -> None:
        stream = exchange.begin_stream(200, [])
        for _ in range(3):
            asyncio.get_running_loop().call_soon(turns.append, len(turns))
            await stream.send(b"part")
            assert turns[-1] == len(turns) - 1
            turns.append(-1)

    with open_site(application) as site:
        assert only(site.ask(get("/", LAST))).content == b"partpartpart"
    assert turns == [0, -1, 2, -1, 4, -1]


def test_a_fault_of_ours_is_not_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_site() as site:
        monkeypatch.setattr(http_connection, "_target", None)
        with site.connect() as client, contextlib.suppress(ConnectionResetError):
            client.sendall(get("/"))
            assert client.recv(1) == b""
        site.wait_until_empty()
        monkeypatch.undo()
        (said,) = site.failed
        assert "HttpParserCallbackError" in said
        site.failed.clear()
        assert only(site.ask(get("/", LAST))).status == 200


# Whatever comes.


REQUESTS = st.lists(
    st.builds(
        lambda method, path, headers, body: (
            b"%b /%b HTTP/1.1\r\nhost: a\r\n%b" % (method, path, headers)
            + (b"content-length: %d\r\n" % len(body) if method == b"POST" else b"")
            + b"%b\r\n"
            + (body if method == b"POST" else b"").replace(b"%", b"%%")
        ),
        st.sampled_from([b"GET", b"POST"]),
        st.sampled_from([b"", b"a", b"b?c=d", b"e/" + b"f" * 300]),
        st.sampled_from([b"", b"x: y\r\n", b"x:\r\nz:  \r\n", b"expect: 200-ok\r\n", b"u: " + b"v" * 500 + b"\r\n"]),
        st.binary(max_size=400),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60)
@given(requests=REQUESTS, cuts=st.lists(st.integers(0, 4_000), max_size=12))
def test_the_packets_make_no_difference(shared: Site, requests: list[bytes], cuts: list[int]) -> None:
    *others, last = requests
    content = b"".join([*(each % b"" for each in others), last % LAST])
    whole = shared.ask(content)
    assert [each.status for each in whole] == [200] * len(requests)
    ends = sorted({each for each in cuts if each < len(content)} | {len(content)})
    with shared.connect() as client:
        for start, end in zip([0, *ends], ends, strict=False):
            client.sendall(content[start:end])
            shared.pass_turns()
        cut = answers_in(read_to_end(client))
    assert [each.content for each in cut] == [each.content for each in whole]
    assert [{**each.headers, "date": ""} for each in cut] == [{**each.headers, "date": ""} for each in whole]


WORDS = [
    b"GET / HTTP/1.1\r\n",
    b"host: a\r\n",
    b"\r\n",
    b"content-length: 3\r\n",
    b"transfer-encoding: chunked\r\n",
    b"abc",
]
WORDS += [
    b"POST / HTTP/1.0\r\n",
    b"upgrade: a\r\nconnection: upgrade\r\n",
    b"expect: 100-continue\r\n",
    b"3\r\n",
    b"0\r\n",
]
HURRIED = Patience(head_s=0.02, idle_s=0.02, stuck_s=0.02, linger_s=0.02)


def test_any_bytes_come_to_an_end() -> None:
    async def application(request: Request, exchange: Exchange) -> None:
        try:
            body = await exchange.read_body(0.02)
        except TimeoutError:
            body = b""
        exchange.respond(200, [], body)

    @settings(max_examples=80)
    @given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(WORDS)), max_size=20))
    def check(packets: list[bytes]) -> None:
        with site.connect() as client:
            try:
                for packet in packets:
                    client.sendall(packet)
                read_to_end(client)
            except (ConnectionResetError, BrokenPipeError):
                pass
            site.wait_until_empty()

    with open_site(application, patience=HURRIED) as site:
        check()
