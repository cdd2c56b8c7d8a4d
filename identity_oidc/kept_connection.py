"""Questions to gateways over HTTP connections that stay open: one for each thread and gateway. RFC 9112 §9.3."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit


class _Kept(dict[str, http.client.HTTPConnection]):
    """Of one thread, by gateway; closed with it."""

    def __del__(self) -> None:
        for connection in self.values():
            connection.close()


class KeptConnections:
    """Safe for threads. No redirect is followed, no proxy is taken from the environment."""

    def __init__(self, timeout_s: float, max_answer_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._local = threading.local()
        self._tls = ssl.create_default_context()

    def get(self, gateway: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body. Raises `OSError`, `http.client.HTTPException`, and `ValueError` for what is too long."""
        kept = getattr(self._local, "kept", None)
        if kept is None:
            kept = self._local.kept = _Kept()
        connection = kept.pop(gateway, None)
        if connection is not None:
            try:
                return self._ask(kept, gateway, connection, path, headers)
            except (ConnectionError, http.client.RemoteDisconnected):
                pass  # closed by the other end while it was idle; a GET may be asked again
        return self._ask(kept, gateway, self._connection(gateway), path, headers)

    def _ask(
        self,
        kept: _Kept,
        gateway: str,
        connection: http.client.HTTPConnection,
        path: str,
        headers: Mapping[str, str],
    ) -> tuple[int, bytes]:
        try:
            connection.request("GET", urlsplit(gateway).path + path, headers=dict(headers))
            with connection.getresponse() as answer:
                body = answer.read(self._max_answer_bytes + 1)
                is_whole = answer.isclosed()
        except BaseException:
            connection.close()
            raise
        if not is_whole:
            connection.close()
            raise ValueError("too long")
        if connection.sock is not None:
            kept[gateway] = connection
        return answer.status, body

    def _connection(self, gateway: str) -> http.client.HTTPConnection:
        parts = urlsplit(gateway)
        if parts.hostname is None or parts.scheme not in {"http", "https"}:
            raise ValueError("no address of http or https")
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self._timeout_s)
