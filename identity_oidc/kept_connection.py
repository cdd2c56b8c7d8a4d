"""Questions to gateways over HTTP connections that stay open: one for each thread and gateway. RFC 9112 §9.3.

An answer with a `Content-Length`, which is what gateways give, is read here: Python's own reader takes it for an e-mail
and needs more time than all else that a login does with the ledger. A gateway that answers otherwise is asked by that
reader from then on.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_MAX_HEAD_BYTES: Final = 16_384
_READ_BYTES: Final = 65_536
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([2-5][0-9]{2})(?: [^\r\n]*)?")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,10}")


class _Kept(dict[str, http.client.HTTPConnection]):
    """Of one thread, by gateway; closed with it."""

    def __del__(self) -> None:
        for connection in self.values():
            connection.close()


class _OtherFormError(Exception):
    """An answer that is not read here."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    is_last: bool


class KeptConnections:
    """Safe for threads. No redirect is followed, no proxy is taken from the environment."""

    def __init__(self, timeout_s: float, max_answer_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._local = threading.local()
        self._tls = ssl.create_default_context()
        self._others: set[str] = set()

    def get(self, gateway: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body. Raises `OSError`, `http.client.HTTPException`, and `ValueError` for what is too long."""
        kept = getattr(self._local, "kept", None)
        if kept is None:
            kept = self._local.kept = _Kept()
        if gateway in self._others:
            return self._ask_by_library(gateway, path, headers)
        try:
            connection = kept.pop(gateway, None)
            if connection is not None:
                try:
                    return self._ask(kept, gateway, connection, path, headers)
                except (ConnectionError, http.client.RemoteDisconnected):
                    pass  # closed by the other end while it was idle; a GET may be asked again
            return self._ask(kept, gateway, self._connection(gateway), path, headers)
        except _OtherFormError:
            self._others.add(gateway)
            return self._ask_by_library(gateway, path, headers)

    def _ask(
        self,
        kept: _Kept,
        gateway: str,
        connection: http.client.HTTPConnection,
        path: str,
        headers: Mapping[str, str],
    ) -> tuple[int, bytes]:
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.sendall(_request(gateway, path, headers))
            answer = _read(connection, self._max_answer_bytes)
        except BaseException:
            connection.close()
            raise
        if answer.is_last:
            connection.close()
        else:
            kept[gateway] = connection
        return answer.status, answer.body

    def _ask_by_library(self, gateway: str, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = self._connection(gateway)
        try:
            connection.request("GET", urlsplit(gateway).path + path, headers=dict(headers))
            with connection.getresponse() as answer:
                body = answer.read(self._max_answer_bytes + 1)
                if not answer.isclosed():
                    raise ValueError("too long")
                return answer.status, body
        finally:
            connection.close()

    def _connection(self, gateway: str) -> http.client.HTTPConnection:
        parts = urlsplit(gateway)
        if parts.hostname is None or parts.scheme not in {"http", "https"}:
            raise ValueError("no address of http or https")
        if parts.scheme == "https":
            return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self._timeout_s, context=self._tls)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self._timeout_s)


def _request(gateway: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Raises `ValueError` for what would be more than one request."""
    parts = urlsplit(gateway)
    lines = [
        f"GET {parts.path}{path} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    if not all(line.isprintable() and line.isascii() for line in lines):
        raise ValueError("a request of other characters")
    return "\r\n".join([*lines, "\r\n"]).encode("ascii")


def _read(connection: http.client.HTTPConnection, most_bytes: int) -> _Answer:
    """One answer with a told length, from its first octet to its last. Source: RFC 9112 §4, §5, §6.3.

    Raises `_OtherFormError` for an answer of another form, `ValueError` for one that is too long, `OSError`.
    """
    found = _more(connection)
    while (end := found.find(b"\r\n\r\n")) < 0:
        if len(found) > _MAX_HEAD_BYTES:
            raise ValueError("too long a head")
        found += _more(connection)
    status_line, *lines = found[:end].split(b"\r\n")
    status = _STATUS_LINE.fullmatch(status_line)
    headers: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        name = header[1].lower() if header else b""
        if header is None or (name in headers and name in {b"content-length", b"connection"}):
            raise _OtherFormError
        headers[name] = header[2]
    length = headers.get(b"content-length", b"")
    if status is None or not _LENGTH.fullmatch(length) or b"transfer-encoding" in headers:
        raise _OtherFormError
    if int(length) > most_bytes:
        raise ValueError("too long")
    body = found[end + 4 :]
    while len(body) < int(length):
        body += _more(connection)
    if len(body) > int(length):  # an answer that nobody asked for would be taken for the next one
        raise ValueError("more than one answer")
    is_kept = status[1] == b"1" and headers.get(b"connection", b"keep-alive").lower() == b"keep-alive"
    return _Answer(int(status[2]), body, not is_kept)


def _more(connection: http.client.HTTPConnection) -> bytes:
    content: bytes = connection.sock.recv(_READ_BYTES)
    if not content:
        raise http.client.RemoteDisconnected("the gateway closed the connection")
    return content
