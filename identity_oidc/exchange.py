"""Requests of granian's own interface (RSGI) as the provider takes them: as PEP 3333 has them, with bodies in bounds of
size and time, and answers in one call or as a stream. Source: granian, docs/spec/RSGI.md.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from tally_service.rsgi import Headers, HttpProtocol
from tally_service.wsgi import BodyError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_HEADERS_KEPT = 512


class RequestHeaders(Protocol):
    """Names in lower case. What has other characters than ASCII is not among them."""

    def items(self) -> Sequence[tuple[str, str]]: ...

    def get(self, key: str, default: str | None = None) -> str | None: ...


class RequestScope(Protocol):
    """What is asked; `path` is decoded, `client` an address with its port."""

    proto: str
    http_version: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str

    @property
    def headers(self) -> RequestHeaders: ...


class Transport(Protocol):
    """An answer that comes in parts. Raises `RSGIProtocolClosed` once nobody takes them any more."""

    async def send_bytes(self, data: bytes) -> None: ...


class Exchange(HttpProtocol, Protocol):
    """The other end: gives the body, and takes one answer."""

    def client_disconnect(self) -> Awaitable[None]: ...

    def response_stream(self, status: int, headers: Headers) -> Transport: ...


def environ_of(scope: RequestScope, body: bytes) -> WSGIEnvironment:
    """A request as PEP 3333 has it. Header names with `_` are dropped: they would pass for others with `-`."""
    path = scope.path
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]") or "unknown",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in scope.headers.items():
        key = _key(name)
        if key is None:
            continue
        if key in environ:
            mark = "; " if name == "cookie" else ","
            environ[key] = f"{environ[key]}{mark}{value}"
        else:
            environ[key] = value
    return environ


async def receive_body(headers: RequestHeaders, exchange: Exchange, most_bytes: int, timeout_s: float) -> bytes:
    """The whole body, of a length that is told before it. Raises `BodyError`.

    Granian does not tell the end of a body in chunks from a connection that broke off: those are not taken (411).
    Source: RFC 9112 §6.3, §8.
    """
    if headers.get("transfer-encoding") is not None:
        raise BodyError(411)
    length = headers.get("content-length")
    if length is None or length == "0":
        return b""
    if not (length.isascii() and length.isdecimal()):
        raise BodyError(400)
    if len(length) > len(str(most_bytes)) or int(length) > most_bytes:
        raise BodyError(413)
    try:
        async with asyncio.timeout(timeout_s):
            body = await exchange()
    except TimeoutError:
        raise BodyError(408) from None
    except RuntimeError:  # granian's word for a connection that broke off
        raise BodyError(400) from None
    if len(body) != int(length):
        raise BodyError(400)
    return body


@lru_cache(maxsize=_HEADERS_KEPT)
def _key(name: str) -> str | None:
    if "_" in name or name in {"content-length", "transfer-encoding"}:
        return None
    key = name.upper().replace("-", "_")
    return key if name == "content-type" else f"HTTP_{key}"
