"""A waiting page's stream as operators run it: nginx passes each word on as it comes, and keeps none back."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from identity_oidc.authentication.session import COOKIE
from identity_oidc.provider import Provider
from tests.oidc.card_in_software import SoftAgent
from tests.oidc.conftest import IDENTITY
from tests.oidc.deployment import BOUND_S, free_port, nginx
from tests.oidc.ledger import LedgerInMemory
from tests.oidc.parties import Browser, add_client
from tests.oidc.test_approval import remote_handle
from tests.oidc.test_service import Service, running
from tests.oidc.test_waiting import until
from tests.oidc.tls import make_loopback_certificate

__all__ = ["running"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("oidc-service")]


def test_each_word_comes_through_the_proxy_at_once(
    running: tuple[Service, Provider], ledger: LedgerInMemory, tmp_path: Path
) -> None:
    service, parts = running
    loopback, tls_port = make_loopback_certificate(tmp_path), free_port()
    trusted = ssl.create_default_context(cafile=str(loopback.certificate))
    app, browser = add_client(parts), Browser()
    soft = SoftAgent.enrolled(service.issuer, ledger, IDENTITY)
    page = app.begin(browser)
    asked = f"GET /login/{page.request_id}/events HTTP/1.1\r\nHost: login.operator.example\r\n"

    def listen(cookie: str | None) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", tls_port), timeout=BOUND_S)
        stream = trusted.wrap_socket(plain, server_hostname="127.0.0.1")
        stream.sendall(f"{asked}Cookie: {COOKIE}={cookie}\r\n\r\n".encode())
        return stream

    with nginx(tmp_path, tls_port, [int(service.issuer.rpartition(":")[2])], loopback):
        with listen("A" * 43) as stranger:
            assert until(stranger, b"\r\n").startswith(b"HTTP/1.1 400")
        with listen(browser.cookie) as stream:
            assert b"data: waiting\n\n" in until(stream, b"data: waiting\n\n")
            challenge = soft.challenge(page, "remote", remote_handle(page, parts))
            assert soft.approve(challenge, soft.approval(challenge, code=page.code)).status == 200
            assert b"data: done\n\n" in until(stream, b"data: done\n\n")
