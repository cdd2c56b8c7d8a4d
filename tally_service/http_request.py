"""Requests and answers of HTTP as our applications have them: a body is awaited without a thread, in bounds of size and
time, and what Flask answers is asked for as PEP 3333 has it.

An application is a function of a `Request` and an `Exchange`. A body needs a Content-Length, so that what is too long
is refused before any of it is read. Source: RFC 9110 §15.5.12; RFC 9112 §6.3.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]

_HEADERS_KEPT: Final = 512


class BodyError(Exception):
    """A body that is not taken; `status` of HTTP is 400 (cut off), 408 (too slow), 411 (in chunks), 413 (too large)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class GoneError(Exception):
    """The client has left: nobody sends the rest of a body, or takes an answer."""


class Request:
    """A request without its body. `path` is decoded, an octet of it a character (PEP 3333); names of headers are in
    lower case; `client` and `server` are addresses, without and with port."""

    __slots__ = ("client", "headers", "http_version", "method", "path", "query_string", "server")

    def __init__(
        self,
        method: str,
        path: str,
        query_string: str,
        headers: Headers,
        *,
        client: str,
        server: tuple[str, int],
        http_version: str = "1.1",
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.headers = headers
        self.client = client
        self.server = server
        self.http_version = http_version

    def header(self, name: str) -> str | None:
        """The first header of a name in lower case."""
        for each, value in self.headers:
            if each == name:
                return value
        return None

    def all_headers(self, name: str) -> list[str]:
        """Every header of a name in lower case, in their order."""
        return [value for each, value in self.headers if each == name]


class Stream(Protocol):
    """An answer that comes in parts."""

    async def send(self, content: bytes) -> None:
        """One part, once the client has taken most of those before it. Raises `GoneError`."""
        ...


class Exchange(Protocol):
    """Gives a request's body and takes its one answer. Headers that frame an answer are added to it."""

    async def read_body(self, timeout_s: float) -> bytes:
        """The whole body, of whatever length. Raises `GoneError`, `TimeoutError`."""
        ...

    def respond(self, status: int, headers: Headers, content: bytes) -> None: ...

    def begin_stream(self, status: int, headers: Headers) -> Stream: ...

    async def until_gone(self) -> None:
        """Until the client has left."""
        ...


Application = Callable[[Request, Exchange], Awaitable[None]]


async def receive_body(request: Request, exchange: Exchange, most_bytes: int, timeout_s: float) -> bytes:
    """The whole body, of a length that is told before it. Raises `BodyError`; what is too long is not read at all."""
    if request.header("transfer-encoding") is not None:
        raise BodyError(411)
    length = request.header("content-length")
    if length is None or length == "0":
        return b""
    if not (length.isascii() and length.isdecimal()):
        raise BodyError(400)
    if len(length) > len(str(most_bytes)) or int(length) > most_bytes:
        raise BodyError(413)
    try:
        body = await exchange.read_body(timeout_s)
    except TimeoutError:
        raise BodyError(408) from None
    except GoneError:
        raise BodyError(400) from None
    if len(body) != int(length):
        raise BodyError(400)
    return body


def environ_of(request: Request, body: bytes, client: str) -> WSGIEnvironment:
    """A request as PEP 3333 has it, from this client's address.

    Header names with `_` are dropped: they would pass for others with `-`.
    """
    address, port = request.server
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "SERVER_NAME": address,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "REMOTE_ADDR": client,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in request.headers:
        key = _key(name)
        if key is None:
            continue
        if key in environ:
            mark = "; " if name == "cookie" else ","
            environ[key] = f"{environ[key]}{mark}{value}"
        else:
            environ[key] = value
    return environ


@lru_cache(maxsize=_HEADERS_KEPT)
def _key(name: str) -> str | None:
    if "_" in name or name in {"content-length", "transfer-encoding"}:
        return None
    key = name.upper().replace("-", "_")
    return key if name == "content-type" else f"HTTP_{key}"
