"""From RSGI to a WSGI application, as `wsgi` does it from ASGI: bodies are awaited without a thread, within bounds.

The server hands over a request as one object and takes an answer in one call, at half of what ASGI's messages cost.
A body needs a Content-Length: the server's RSGI does not tell a chunked body that broke off from a whole one, and
would hold one without end in memory. Source: RSGI 1.6 (granian); RFC 9110 §15.5.12.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, Protocol

from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]  # public, says its manual

from tally_service import wsgi
from tally_service.wsgi import Answer, BodyError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = list[tuple[str, str]]

_LONGEST_LENGTH: Final = 12
"""Digits of a Content-Length that need no further thought."""


class RequestHeaders(Protocol):
    """Names are in lower case; what is not visible ASCII does not come."""

    def get(self, key: str, default: str | None = None) -> str | None: ...

    def get_all(self, key: str) -> list[str]: ...

    def items(self) -> list[tuple[str, str]]: ...


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
    """The whole body. Raises `BodyError`; too long a body, or one of unknown length (411), is not read at all."""
    headers = scope.headers
    length = headers.get("content-length")
    if length is None:
        if headers.get("transfer-encoding") is None:
            return b""
        raise BodyError(411)
    if len(length) > _LONGEST_LENGTH or int(length) > most_bytes:
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
    return body


def environ_of(scope: Scope, body: bytes, client: str) -> WSGIEnvironment:
    """A request as PEP 3333 has it, from this client's address."""
    address, _, port = scope.server.rpartition(":")
    return wsgi.environ_of(
        {
            "method": scope.method,
            "path": scope.path,
            "query_string": scope.query_string.encode("latin-1"),
            "http_version": scope.http_version,
            "scheme": scope.scheme,
            "server": (address or "localhost", port or "80"),
            "client": (client, 0),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()],
        },
        body,
    )


def send_answer(protocol: HttpProtocol, answer: Answer) -> None:
    """A whole answer."""
    status, headers, content = answer
    decoded = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
    protocol.response_bytes(status, decoded, content)
