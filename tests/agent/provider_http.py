"""The provider of the tests on a port of this machine."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.agent.provider import Login, Provider
from tests.agent.provider_checks import RefusedError


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    provider: Provider

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/complete":
            cookie = self.headers.get("Cookie", "").removeprefix("__Host-session=")
            done = self.provider.complete(parse_qs(query).get("c", [""])[0], cookie)
            return self._send(200 if done else 403, {"complete": done})
        if path == "/agent/v1/wake":
            return self._stream()
        return self._api()

    def do_POST(self) -> None:
        self._api()

    def do_DELETE(self) -> None:
        self._api()

    def _api(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            with self.provider.lock:
                status, document = self.provider.answer(self.command, self.path, self.headers, raw)
        except RefusedError as error:
            return self._refuse(error)
        return self._send(status, None if document is None else self.provider.bend_answer(document))

    def _stream(self) -> None:
        """Wake-ups, each of which says `look` and nothing else."""
        try:
            with self.provider.lock:
                self.provider.caller(self.headers, "GET", "/agent/v1/wake")
        except RefusedError as error:
            return self._refuse(error)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.close_connection = True
        self.end_headers()
        self.wfile.write(b": here\n\n")
        self.wfile.flush()
        with self.provider.looks:
            if self.provider.looks.wait(30):
                self.wfile.write(b"event: look\ndata: look\n\n")
                self.wfile.flush()
        return None

    def _refuse(self, error: RefusedError) -> None:
        document = {
            "type": "about:blank",
            "title": error.code,
            "status": error.status,
            "code": error.code,
            **error.more,
        }
        headers = {"WWW-Authenticate": f'DPoP error="{error.code}"'} if error.status == 401 else {}
        self._send(error.status, document, **headers)

    def _send(self, status: int, document: Any, **headers: str) -> None:
        content = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if self.provider.wants_nonce:
            self.send_header("DPoP-Nonce", self.provider.nonce)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def serve(provider: Provider, tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """The provider on a port of this machine; sets its issuer."""

    class Handler(_Handler):
        pass

    Handler.provider = provider
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    provider.issuer = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.wake()
        server.shutdown()
        server.server_close()
        thread.join()


def hand_over_fields(login: Login) -> dict[str, str]:
    """What the login page's form holds."""
    return dict(pair for pair in _pairs(urlsplit(login.link(local=True)).query))


def _pairs(query: str) -> list[tuple[str, str]]:
    return [(name, values[0]) for name, values in parse_qs(query).items()]
