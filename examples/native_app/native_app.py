"""An app on the person's own machine: system browser, loopback redirect, PKCE, no secret. Source: RFC 8252.

    python -m examples.native_app.native_app ISSUER CLIENT_ID [--ca-file FILE]

It never shows a login page itself: a page in the app could read what the person types, and has not the browser's
sessions. Its address is on loopback with a port that the system chooses, so no other app can claim it beforehand.
"""

from __future__ import annotations

import argparse
import sys
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from examples.relying_party.provider import Attempt, OpenIdProvider
from examples.relying_party.verification import NotTrustedError

WAIT_S: Final = 300.0
_REQUEST_S: Final = 5.0
_DONE: Final = (
    b"<!doctype html><meta charset=utf-8><title>Done</title><p>You can close this page and go back to the app."
)


class Receiver(HTTPServer):
    """Waits on loopback for the browser to bring the answer of one login."""

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state
        self.answer: dict[str, str] | None = None

    @property
    def redirect_uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/callback"

    def wait(self) -> dict[str, str]:
        """The answer that carries our state; others are not listened to. Raises `NotTrustedError` in the end."""
        end = time.monotonic() + WAIT_S
        while self.answer is None:
            self.timeout = end - time.monotonic()
            if self.timeout <= 0:
                raise NotTrustedError("nobody logged in")
            self.handle_request()
        return self.answer


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    timeout = _REQUEST_S

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        answer = dict(parse_qsl(parts.query))
        is_ours = parts.path == "/callback" and answer.get("state") == self.server.state
        if is_ours:
            self.server.answer = answer
        body = _DONE if is_ours else b""
        self.send_response(200 if is_ours else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: an address holds a code."""


def main() -> int:
    """Log in once and say who it was."""
    parser = argparse.ArgumentParser()
    parser.add_argument("issuer")
    parser.add_argument("client_id")
    parser.add_argument("--ca-file")
    arguments = parser.parse_args()
    attempt = Attempt()
    with Receiver(attempt.state) as receiver:
        provider = OpenIdProvider(arguments.issuer, arguments.client_id, None, receiver.redirect_uri, arguments.ca_file)
        try:
            address = provider.login_address(attempt, "openid email")
            if not webbrowser.open(address):
                print(f"open this in your browser: {address}", flush=True)
            login = provider.redeem(attempt, receiver.wait())
        except NotTrustedError as error:
            print(f"not logged in: {error}")
            return 1
        finally:
            provider.close()
    print(f"logged in: {login.sub} {login.data.get('email', '(no mail address given)')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
