"""Serves the local page on the loopback address. One request at a time reaches the agent; slow clients do not block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from sim_applet_tools.agent.page.peer import is_own_peer
from sim_applet_tools.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
CLIENT_TIMEOUT_S = 10.0
MAX_CLIENTS = 16
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clients = threading.Semaphore(MAX_CLIENTS)

    def server_bind(self) -> None:
        """Without the name look-up that the base class does, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]
        self.setup_environ()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Other users of this machine are not answered."""
        return is_own_peer(client_address[1], self.server_port)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._clients.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._clients.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Paths are secrets here: nothing is logged."""


@contextmanager
def serve_page(port: int, make_app: Callable[[str], WsgiApp]) -> Iterator[str]:
    """Serves `make_app(host)` until left and gives `host`, address and port; port 0 takes a free one."""
    try:
        server = _Server((LOOPBACK, port), _Handler)
    except OSError as error:
        raise ConfigurationError(
            f"port {port} of {LOOPBACK} is taken ({error.strerror}): is another agent running? Else choose --port, the "
            "same that the provider's page uses"
        ) from error
    host = f"{LOOPBACK}:{server.server_port}"
    server.set_app(make_app(host))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
