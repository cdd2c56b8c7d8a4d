"""The provider as real processes: killed between steps, its database locked, logged in to all the same."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from identity_oidc import base64url
from identity_oidc.config import ProviderConfig
from identity_oidc.errors import StorageError
from identity_oidc.provider import Provider
from identity_oidc.service.assembly import assemble
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY, listening
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Browser, RelyingParty, add_client, ask, members

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("oidc-service")]
RAW = bytes.fromhex(IDENTITY[2:])
BOUND_S = 60.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + BOUND_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {BOUND_S:g} s"
        pause.wait(0.05)


def is_up(issuer: str) -> bool:
    try:
        return ask("GET", f"{issuer}/readyz").status == 200
    except OSError:
        return False


@contextmanager
def gateway_of(ledger: LedgerInMemory) -> Iterator[str]:
    """A gateway's two routes over the ledger in memory."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: the second would wait for a delayed ACK

        def do_GET(self) -> None:
            status, content = self._changes() if "/changes?" in self.path else self._identity()
            body = json.dumps(content | {"age_s": 0, "block": {"number": 1}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _identity(self) -> tuple[int, dict[str, Any]]:
            found = ledger.entries.get(bytes.fromhex(self.path.rpartition("0x")[2]))
            if found is None:
                return 404, {"code": "not-found"}
            x, y = (base64url.encode(part) for part in (found.public_key[:32], found.public_key[32:]))
            return 200, {
                "identity": "0x" + found.identity.hex(),
                "state": found.state.value,
                "key": {"kty": "EC", "crv": "P-256", "x": x, "y": y},
                "attestation": found.attestation.value,
                "card_enforced": True,
                "emulator": False,
                "key_blocked": False,
                "operator_state": "active",
            }

        def _changes(self) -> tuple[int, dict[str, Any]]:
            after = int(self.path.partition("after=")[2].partition("&")[0])
            changes = [{"identity": "0x" + each.identity.hex(), "kind": each.kind} for each in ledger.feed[after:]]
            return 200, {"changes": changes, "cursor": str(len(ledger.feed))}

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Service:
    """`tally oidc serve` in a process group of its own."""

    def __init__(self, config: Path, issuer: str) -> None:
        self._config = config
        self.issuer = issuer
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = (sys.executable, "-m", "pki_chain.cli.main", "oidc", "serve", "--config", str(self._config))
        with (self._config.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_for(lambda: is_up(self.issuer), "the provider")

    def kill(self) -> None:
        """All its processes at once, as when power fails."""
        assert self._process is not None
        with suppress(ProcessLookupError):  # it was stopped
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(BOUND_S)


@pytest.fixture
def running(tmp_path: Path, template: Path, ledger: LedgerInMemory) -> Iterator[tuple[Service, Provider]]:
    with gateway_of(ledger) as gateway:
        with listening() as (_, port):
            pass
        (tmp_path / "members.json").write_text(json.dumps(members()))
        (tmp_path / "oidc.toml").write_text(
            f'[provider]\nissuer = "http://127.0.0.1:{port}"\nport = {port}\nmembers = "members.json"\n'
            f'database = "sqlite:///{tmp_path}/oidc.sqlite"\nsubscribers = "sqlite:///{template}/people.sqlite"\n'
            f'[keys]\ndirectory = "{template}/keys"\n'
            f'[ledger]\ngateways = ["{gateway}"]\npoll_s = 0.1\n'
        )
        service = Service(tmp_path / "oidc.toml", f"http://127.0.0.1:{port}")
        service.start()
        parts = assemble(ProviderConfig.load(tmp_path / "oidc.toml"))
        try:
            yield service, parts
        finally:
            parts.database.close()
            service.kill()


def test_a_login_survives_a_kill_between_each_two_steps(
    running: tuple[Service, Provider], ledger: LedgerInMemory
) -> None:
    service, parts = running
    app, browser = add_client(parts, may_refresh=True, grant_days=30), Browser()
    soft = SoftAgent.enrolled(service.issuer, ledger, IDENTITY)
    service.restart()
    page = app.begin(browser, scope="openid email offline_access")
    service.restart()
    challenge = soft.challenge(page)
    service.restart()
    approved = soft.approve(challenge, soft.approval(challenge))
    assert approved.status == 200, approved.text
    service.restart()
    done = browser.get(approved.json["completion_uri"])
    assert done.status == 303
    service.restart()
    tokens = app.redeem(done.parameters["code"]).json
    claims = app.verify_id_token(tokens["id_token"], tokens["access_token"])
    service.restart()
    assert app.userinfo(tokens["access_token"]).json["sub"] == claims["sub"]
    assert app.redeem(done.parameters["code"]).json["error"] == "invalid_grant", "a used code stays used"


def test_a_hold_reaches_a_running_provider(running: tuple[Service, Provider], ledger: LedgerInMemory) -> None:
    service, parts = running
    app = add_client(parts)
    token = _log_in(app, SoftAgent.enrolled(service.issuer, ledger, IDENTITY))
    assert app.userinfo(token).status == 200
    ledger.hold(RAW)
    wait_for(lambda: app.userinfo(token).status == 401, "the end of the token")
    assert service.stop() == 0


def test_a_locked_database_is_told_and_takes_nothing(
    running: tuple[Service, Provider], ledger: LedgerInMemory, tmp_path: Path
) -> None:
    service, parts = running
    app, browser = add_client(parts), Browser()
    soft = SoftAgent.enrolled(service.issuer, ledger, IDENTITY)
    challenge = soft.challenge(app.begin(browser))
    body = soft.approval(challenge)
    lock = sqlite3.connect(tmp_path / "oidc.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        refused = soft.approve(challenge, body)
        assert (refused.status, refused.json["code"]) == (503, "storage")
        with pytest.raises(StorageError), parts.database.writing():
            pass
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    assert soft.approve(challenge, body).status == 200


def test_a_body_that_never_ends_holds_nobody_up(running: tuple[Service, Provider]) -> None:

    service, _ = running
    port = int(service.issuer.rpartition(":")[2])
    senders = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(20)]
    try:
        for sender in senders:
            sender.sendall(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        assert ask("GET", f"{service.issuer}/jwks").status == 200
        assert b"408" in senders[0].recv(64)
    finally:
        for sender in senders:
            sender.close()


def test_the_log_holds_nothing_of_a_login(
    running: tuple[Service, Provider], ledger: LedgerInMemory, tmp_path: Path
) -> None:
    service, parts = running
    app = add_client(parts)
    token = _log_in(app, SoftAgent.enrolled(service.issuer, ledger, IDENTITY))
    app.userinfo("x" * 40)
    email = app.userinfo(token).json["email"]
    assert service.stop() == 0
    log = (tmp_path / "log").read_text()
    assert log
    for secret in (token, email, IDENTITY[2:], app.secret, app.nonce):
        assert secret not in log


def _log_in(app: RelyingParty, soft: SoftAgent) -> str:
    browser = Browser()
    challenge = soft.challenge(app.begin(browser))
    done = browser.get(soft.approve(challenge, soft.approval(challenge)).json["completion_uri"])
    return str(app.redeem(done.parameters["code"]).json["access_token"])
