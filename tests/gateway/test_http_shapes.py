"""HTTP as an attacker writes it, over a socket, against the whole service."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from tests.gateway.test_service import Service, prepare
from tests.ledger import Consortium, consortium, ledger_engine

__all__ = ["consortium", "ledger_engine"]

pytestmark = [pytest.mark.chain, pytest.mark.e2e]

STATUS = "/v1/certificates/" + "00" * 32 + "/status"
JSON = "Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def service(consortium: Consortium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = prepare(consortium, tmp_path_factory.mktemp("shapes"))
    made.start()
    yield made
    assert made.stop() == 0


def exchange(service: Service, content: bytes) -> bytes:
    """Everything that comes back for these bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(content)
        found = bytearray()
        try:
            while chunk := connection.recv(65_536):
                found += chunk
        except ConnectionResetError:
            pass
        return bytes(found)


def statuses(answer: bytes) -> list[int]:
    """Status codes of the answers on one connection."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def head_of(answer: bytes) -> dict[str, str]:
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])}


def request(method: str, path: str, headers: str = "", body: str = "", *, ends: bool = True) -> bytes:
    """`ends`: the last one on its connection."""
    more = "Connection: close\r\n" if ends else ""
    return f"{method} {path} HTTP/1.1\r\nHost: gateway.example\r\n{headers}{more}\r\n{body}".encode("latin-1")


SMUGGLED = request("GET", "/metrics").decode()


@pytest.mark.parametrize(
    "headers",
    [
        f"Content-Length: 4\r\nContent-Length: {len(SMUGGLED) + 5}\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        " Content-Length: 5\r\n",
        "Bad\x00Name: 1\r\n",
    ],
)
def test_a_length_that_can_be_read_in_two_ways_ends_the_connection(service: Service, headers: str) -> None:
    body = "0\r\n\r\n" + SMUGGLED
    answer = exchange(service, request("POST", "/v1/submissions", JSON + headers, body, ends=False))
    assert b"tally_read_model_up" not in answer
    assert all(status >= 400 for status in statuses(answer)), answer


def test_chunked_wins_over_a_length_and_nothing_is_read_after_it(service: Service) -> None:
    """RFC 9112 §6.1: a server may take such a message, then it must close the connection."""
    headers = JSON + f"Content-Length: {5 + len(SMUGGLED)}\r\nTransfer-Encoding: chunked\r\n"
    answer = exchange(service, request("POST", "/v1/submissions", headers, "0\r\n\r\n" + SMUGGLED, ends=False))
    assert b"tally_read_model_up" not in answer, answer


@pytest.mark.parametrize(
    "chunks", ["zz\r\n{}\r\n0\r\n\r\n", "2;" + "x" * 40_000 + "\r\n{}\r\n0\r\n\r\n", "-2\r\n{}\r\n"]
)
def test_chunks_that_are_none(service: Service, chunks: str) -> None:
    answer = exchange(service, request("POST", "/v1/submissions", JSON + "Transfer-Encoding: chunked\r\n", chunks))
    assert all(status >= 400 for status in statuses(answer)), answer


@pytest.mark.parametrize("chunks", ["2\r\n{}\r\n0\r\n\r\n", "2\r\n{}\r\n", "2\r\n{}\r\n" + "f" * 15 + "\r\n"])
def test_chunks_are_refused_whole_or_not(service: Service, chunks: str) -> None:
    """RFC 9110 §15.5.12. A body with a length is taken."""
    answer = exchange(service, request("POST", "/v1/submissions", JSON + "Transfer-Encoding: chunked\r\n", chunks))
    assert statuses(answer) == [411]
    assert b"length-required" in answer
    answer = exchange(service, request("POST", "/v1/submissions", JSON + "Content-Length: 2\r\n", "{}"))
    assert statuses(answer) == [400]
    assert b"missing-field" in answer


def test_a_body_that_breaks_off_is_not_taken(service: Service) -> None:
    content = request("POST", "/v1/submissions", JSON + "Content-Length: 3\r\n", "{}")
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        assert b"missing-field" not in connection.recv(65_536)
    assert service.get("/healthz").status_code == 200


def test_a_body_is_asked_for_before_it_is_sent(service: Service) -> None:
    content = request("POST", "/v1/submissions", JSON + "Content-Length: 2\r\nExpect: 100-continue\r\n", "{}")
    assert statuses(exchange(service, content))[-1] == 400


def test_headers_without_end(service: Service) -> None:
    """Too many, too long, or too slow."""
    many = "".join(f"X-{number}: 1\r\n" for number in range(2_000))
    assert statuses(exchange(service, request("GET", "/healthz", many))) == [431]
    assert statuses(exchange(service, request("GET", "/healthz", "X: " + "x" * 2_000_000 + "\r\n"))) == [431]
    assert statuses(exchange(service, request("GET", "/healthz?" + "x" * 70_000))) == [414]
    assert statuses(exchange(service, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ")) in ([], [400], [408])
    assert service.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "//v1/members",
        "/v1//members",
        "/v1/./members",
        "/v1/../v1/members",
        "/v1/%2e%2e/metrics",
        "/v1/members/",
        "/v1/members%00",
        "/v1/members%0d%0aX-Bad:1",
        "/V1/members",
        "/%ff",
        "/%ed%a0%80",
        "/v1/certificates/" + "0" * 64 + "%0a/status",
        "/v1/certificates/" + "%ef%bc%90" * 64 + "/status",
        "/v1/lots/1e1",
        "/v1/lots/99999999999999999999999999",
        "/v1/lots/%D9%A1",
        "/v1/submissions/0x",
        "http://elsewhere.example//v1/members",
    ],
)
def test_a_path_is_what_is_written_or_nothing(service: Service, path: str) -> None:
    """No redirect to where the Host header says, and nobody's path is put right."""
    answer = exchange(service, request("GET", path))
    assert statuses(answer)[0] in {400, 404}, answer
    assert b"elsewhere.example" not in answer
    assert b"gateway.example" not in answer
    assert "location" not in head_of(answer)
    assert "x-bad" not in head_of(answer)


@pytest.mark.parametrize("path", [STATUS, "/healthz", "/metrics", "/v1/members", "/v1/lots/77", "/openapi.json"])
def test_head_is_get_without_its_body(service: Service, path: str) -> None:
    """RFC 9110 §9.3.2, §8.6: the length is that of GET or is not told."""
    got, asked = exchange(service, request("GET", path)), exchange(service, request("HEAD", path))
    assert statuses(asked) == statuses(got)
    assert asked.endswith(b"\r\n\r\n")
    assert head_of(asked)["content-type"] == head_of(got)["content-type"]
    assert "content-length" not in head_of(asked) or int(head_of(asked)["content-length"]) > 0


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "PROPFIND", "CONNECT"])
def test_other_methods(service: Service, method: str) -> None:
    answer = exchange(service, request(method, STATUS, "Content-Length: 0\r\nCookie: secret-cookie\r\n"))
    assert statuses(answer)[0] in {200, 400, 404, 405}
    assert b"secret-cookie" not in answer
    assert "access-control-allow-origin" not in head_of(answer)


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: a\nConnection: close\n\n",
    ],
)
def test_what_is_no_http(service: Service, content: bytes) -> None:
    exchange(service, content)
    assert service.get("/healthz").status_code == 200


def test_hundreds_of_idle_connections_keep_nobody_from_answers(service: Service) -> None:
    idle = []
    try:
        for _ in range(300):
            connection = socket.create_connection(("127.0.0.1", service.port), timeout=5)
            connection.sendall(b"POST /v1/submissions HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n")
            idle.append(connection)
        assert service.get("/healthz").status_code == 200
        assert service.get("/readyz").status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_text_that_is_none_stays_out_of_answers_and_logs(service: Service) -> None:
    bodies: list[bytes] = [
        b'{"\\ud800": 1}',
        b'{"order": "\\ud800\\u0000"}',
        b'{"order": "hold", "\\u202e": 1}',
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"nonce": ' + b"9" * 5_000 + b"}",
        b'{"nonce": NaN}',
        b'{"nonce": 1e400}',
        b'{"a": 1, "a": 2}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
    ]
    for body in bodies:
        for path in ("/v1/submissions", "/v1/orders", "/v1/certificates/status"):
            headers = JSON + f"Content-Length: {len(body)}\r\n"
            answer = exchange(service, request("POST", path, headers) + body)
            assert statuses(answer) == [400], (body[:20], answer)
            content = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert content["code"] in {
                "not-json", "duplicate-field", "missing-field", "unknown-field", "unknown-order", "bad-field",
            }  # fmt: skip
    for line in (service.directory / "log").read_text(encoding="utf-8").splitlines():
        assert "Traceback" not in line
