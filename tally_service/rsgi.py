"""Requests of granian's own interface (RSGI) as applications take them: as PEP 3333 has them, with bodies that are
awaited without a thread, in bounds of size and time.

The server hands over a request as one object and takes an answer in one call, at half of what ASGI's messages cost.
A body needs a Content-Length: the server's RSGI does not tell a chunked body that broke off from a whole one, and
would hold one without end in memory. Source: RSGI 1.6 (granian); RFC 9110 §15.5.12; RFC 9112 §6.3, §8.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]  # public, says its manual

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


class RequestHeaders(Protocol):
    """Names are in lower case; what is not visible ASCII does not come."""

    def get(self, key: str, default: str | None = None) -> str | None: ...

    def get_all(self, key: str) -> list[str]: ...

    def items(self) -> Sequence[tuple[str, str]]: ...


class Scope(Protocol):
    """A request. `path` is decoded; `client` and `server` are address and port in one text."""

    proto: str
    http_version: str
    client: str
    server: str
    scheme: str
    method: str
    path: str
    query_string: str

    @property
    def headers(self) -> RequestHeaders: ...


class HttpProtocol(Protocol):
    """Gives the body and takes the answer."""

    def __call__(self) -> Awaitable[bytes]: ...

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...


class Transport(Protocol):
    """An answer that comes in parts. Raises `RSGIProtocolClosed` once nobody takes them any more."""

    async def send_bytes(self, data: bytes) -> None: ...


class StreamingProtocol(HttpProtocol, Protocol):
    """Takes an answer in parts, too."""

    def client_disconnect(self) -> Awaitable[None]: ...

    def response_stream(self, status: int, headers: Headers) -> Transport: ...


class Deadlines:
    """Cuts off tasks of one event loop that wait for too long: one timer for all, in place of one for each."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ends: dict[asyncio.Task[object], float] = {}
        self._missed: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Task[object]:
        """From now on the running task has its time. What comes back is for `end`, which must follow."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("no task is running")
        loop = task.get_loop()
        self._ends[task] = loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s, self._cut_off, loop)
        return task

    def end(self, task: asyncio.Task[object]) -> bool:
        """Whether the task was cut off: then its `CancelledError` is ours, and goes no further."""
        if self._ends.pop(task, None) is not None:
            return False
        self._missed.discard(task)
        task.uncancel()
        return True

    def _cut_off(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for task, ends in [*self._ends.items()]:  # in the order of their ends
            if ends > now:
                self._timer = loop.call_at(ends, self._cut_off, loop)
                return
            del self._ends[task]
            self._missed.add(task)
            task.cancel()


def address_of(place: str) -> str:
    """The address of "address:port"; "unknown" where there is none."""
    address = place.rpartition(":")[0]
    return address.removeprefix("[").removesuffix("]") or "unknown"


async def receive_body(scope: Scope, protocol: HttpProtocol, most_bytes: int, deadlines: Deadlines) -> bytes:
    """The whole body, of a length that is told before it. Raises `BodyError`; what is too long is not read at all."""
    headers = scope.headers
    if headers.get("transfer-encoding") is not None:
        raise BodyError(411)
    length = headers.get("content-length")
    if length is None or length == "0":
        return b""
    if not (length.isascii() and length.isdecimal()):
        raise BodyError(400)
    if len(length) > len(str(most_bytes)) or int(length) > most_bytes:
        raise BodyError(413)
    task = deadlines.begin()
    try:
        body = await protocol()
    except asyncio.CancelledError:
        if deadlines.end(task):
            raise BodyError(408) from None
        raise
    except (ProtocolClosed, ProtocolError):
        deadlines.end(task)
        raise BodyError(400) from None
    if deadlines.end(task):
        raise BodyError(408)
    if len(body) != int(length):
        raise BodyError(400)
    return body


def environ_of(scope: Scope, body: bytes, client: str) -> WSGIEnvironment:
    """A request as PEP 3333 has it, from this client's address.

    Header names with `_` are dropped: they would pass for others with `-`.
    """
    address, _, port = scope.server.rpartition(":")
    path = scope.path
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path if path.isascii() else path.encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": address or "localhost",
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": client,
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


@lru_cache(maxsize=_HEADERS_KEPT)
def _key(name: str) -> str | None:
    if "_" in name or name in {"content-length", "transfer-encoding"}:
        return None
    key = name.upper().replace("-", "_")
    return key if name == "content-type" else f"HTTP_{key}"
