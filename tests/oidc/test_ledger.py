"""The adapter over a gateway's REST, against the real gateway; and what it makes of answers that are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from werkzeug.serving import make_server

from identity_oidc.config import LedgerSettings
from identity_oidc.errors import ConfigurationError, LedgerStaleError
from identity_oidc.ledger import GatewayLedger
from identity_oidc.ports import Attestation, IdentityId, IdentityState
from pki_chain import ports
from tests.gateway.conftest import Gateway
from tests.gateway.conftest import gateway as gateway  # noqa: PLC0414  a fixture
from tests.index.recorded_ledger import OPERATOR
from tests.index.test_identities import BY, ID, OTHER_ID, card_key, registered


@contextmanager
def serving(application: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def served(gateway: Gateway) -> Iterator[str]:
    gateway.ledger.mine([registered(), ports.IdentityActivated(ID, OPERATOR, BY), registered(OTHER_ID, 3)])
    gateway.catch_up()
    with serving(gateway.client.application) as address:
        yield address


def ledger_at(*addresses: str, **settings: Any) -> GatewayLedger:
    return GatewayLedger(LedgerSettings(gateways=addresses, timeout_s=5.0, **settings))


def test_what_the_gateway_answers_is_understood(gateway: Gateway, served: str) -> None:
    ledger = ledger_at(served)
    found = ledger.identity(IdentityId(ID))
    assert found is not None
    assert (found.state, found.attestation) == (IdentityState.ACTIVE, Attestation.PERSONALISER)
    assert found.public_key == card_key(1).x + card_key(1).y
    assert (found.is_card_enforced, found.is_emulator, found.age_s) == (True, False, 1.0)
    assert ledger.identity(IdentityId(b"\x77" * 32)) is None
    other = ledger.identity(IdentityId(OTHER_ID))
    assert other is not None
    assert other.state is IdentityState.REGISTERED
    gateway.clock.seconds += 60
    with pytest.raises(LedgerStaleError):
        ledger.identity(IdentityId(ID))


def test_the_feed_is_followed_by_its_cursor(gateway: Gateway, served: str) -> None:
    ledger = ledger_at(served)
    page = ledger.changes("")
    assert [change.kind for change in page.changes] == ["registered", "activated", "registered"]
    assert ledger.changes(page.cursor).changes == ()
    gateway.ledger.mine([ports.IdentityKeyReplaced(ID, OPERATOR, BY, 1, card_key(2), by_old_key=True, counter=1)])
    gateway.catch_up()
    (change,) = ledger.changes(page.cursor).changes
    assert (change.kind, change.identity) == ("key-replaced", ID)


def test_the_next_gateway_is_asked_where_one_is_away_or_stale(served: str) -> None:
    assert ledger_at("http://127.0.0.1:9", served).identity(IdentityId(ID)) is not None
    with pytest.raises(LedgerStaleError):
        ledger_at("http://127.0.0.1:9").identity(IdentityId(ID))
    with pytest.raises(ConfigurationError):
        ledger_at()


GOOD: dict[str, Any] = {
    "identity": "0x" + ID.hex(),
    "state": "active",
    "key": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
    "attestation": "none",
    "card_enforced": True,
    "emulator": False,
    "key_blocked": False,
    "operator_state": "active",
    "block": {"number": 1},
    "age_s": 0,
}


@contextmanager
def scripted(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b"{}"),
        (302, json.dumps(GOOD).encode()),
        (404, b'{"code":"no-such-route"}'),
        (404, b'{"code":"no-such-route","age_s":0}'),
        (404, b'{"code":"not-found"}'),
        (404, b'{"code":"not-found","age_s":61}'),
        (404, b"<html>"),
        (200, b"not json"),
        (200, b"[]"),
        (200, json.dumps(GOOD | {"age_s": 61}).encode()),
        (200, json.dumps(GOOD | {"age_s": -1}).encode()),
        (200, json.dumps(GOOD | {"age_s": "0"}).encode()),
        (200, json.dumps(GOOD | {"identity": "0x" + "99" * 32}).encode()),
        (200, json.dumps(GOOD | {"state": "fine"}).encode()),
        (200, json.dumps(GOOD | {"attestation": "trust-me"}).encode()),
        (200, json.dumps(GOOD | {"key": {}}).encode()),
        (200, json.dumps({name: value for name, value in GOOD.items() if name != "operator_state"}).encode()),
    ],
)
def test_an_answer_that_is_none_logs_nobody_in(status: int, body: bytes) -> None:
    with scripted(200, json.dumps(GOOD).encode()) as address:
        assert ledger_at(address).identity(IdentityId(ID)) is not None
    with scripted(status, body) as address, pytest.raises(LedgerStaleError):
        ledger_at(address).identity(IdentityId(ID))


def test_an_identity_is_unknown_only_by_a_fresh_answer() -> None:
    """A gateway that lags, or does not say how old its word is, hides nobody whom the next one knows."""
    fresh, stale = b'{"code":"not-found","age_s":1}', b'{"code":"not-found"}'
    with (
        scripted(404, fresh) as unknown,
        scripted(404, stale) as lagging,
        scripted(200, json.dumps(GOOD).encode()) as known,
    ):
        assert ledger_at(unknown, known).identity(IdentityId(ID)) is None
        assert ledger_at(lagging, known).identity(IdentityId(ID)) is not None


@pytest.mark.parametrize(
    "change", [{"operator_state": "suspended"}, {"operator_state": "removed"}, {"key_blocked": True}]
)
def test_an_identity_of_a_suspended_operator_or_with_a_blocked_key_is_not_active(change: dict[str, Any]) -> None:
    with scripted(200, json.dumps(GOOD | change).encode()) as address:
        found = ledger_at(address).identity(IdentityId(ID))
        assert found is not None
        assert found.state is IdentityState.HELD


def test_a_token_goes_with_each_question(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("member-token\n")
    seen: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["HTTP_AUTHORIZATION"])
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"changes": [], "cursor": "0", "age_s": 0}).encode()]

    with serving(application) as address:
        ledger_at(address, token_file=tmp_path / "token").changes("")
    assert set(seen) == {"Bearer member-token"}


@contextmanager
def fickle(body: bytes) -> Iterator[tuple[str, list[int]]]:
    """A gateway that closes each connection after its second answer, and says so to nobody; ports of who asked."""
    asked: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            port = self.client_address[1]
            asked.append(port)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = asked.count(port) == 2

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_connection_is_kept_and_made_anew_where_the_gateway_closed_it() -> None:
    with fickle(json.dumps(GOOD).encode()) as (address, asked):
        ledger = ledger_at(address)
        for _ in range(4):
            assert ledger.identity(IdentityId(ID)) is not None
    assert asked[0] == asked[1] != asked[2] == asked[3]


def test_an_answer_that_is_too_long_is_none_and_its_connection_is_not_used_again() -> None:
    with scripted(200, b" " * ((1 << 20) + 1)) as address, pytest.raises(LedgerStaleError):
        ledger_at(address).identity(IdentityId(ID))


@contextmanager
def raw(answer: bytes) -> Iterator[str]:
    """A gateway that answers every request with these octets, and closes."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline() not in {b"\r\n", b""}:
                pass
            self.wfile.write(answer)

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


CONTENT = json.dumps(GOOD).encode()
LENGTH = b"Content-Length: %d\r\n" % len(CONTENT)
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK + LENGTH + b"\r\n" + CONTENT,
        OK + b"content-length:%d  \r\nConnection: close\r\n\r\n" % len(CONTENT) + CONTENT,
        OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(CONTENT) + CONTENT + b"\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n" + CONTENT,
    ],
)
def test_answers_of_every_form_of_http_are_read(answer: bytes) -> None:
    with raw(answer) as address:
        ledger = ledger_at(address)
        for _ in range(2):
            assert ledger.identity(IdentityId(ID)) is not None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.0 200 OK\r\n\r\n" + CONTENT,
        OK + LENGTH,
        OK + LENGTH + b"\r\n" + CONTENT[:-1],
        OK + LENGTH + b"\r\n" + CONTENT + OK + LENGTH + b"\r\n" + CONTENT,
        OK + b"Content-Length: 5000000000\r\n\r\n" + CONTENT,
        OK + b"X: " + b"x" * 70_000 + b"\r\n" + LENGTH + b"\r\n" + CONTENT,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + CONTENT[:3],
        b"SSH-2.0-OpenSSH_9.2\r\n" + LENGTH + b"\r\n" + CONTENT,
    ],
)
def test_answers_that_broke_off_are_too_long_or_several_are_none(answer: bytes) -> None:
    with raw(answer) as address, pytest.raises(LedgerStaleError):
        ledger_at(address).identity(IdentityId(ID))


def test_no_header_can_end_a_question(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("member\r\nX-Other: token")
    with raw(OK + LENGTH + b"\r\n" + CONTENT) as address, pytest.raises(LedgerStaleError):
        ledger_at(address, token_file=tmp_path / "token").identity(IdentityId(ID))
