"""One request at a connection, and the framing of its answer. Source: RFC 9112 §6, §7.1; RFC 9110 §10.1.1, §15.4.5."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, Protocol

from tally_service.http_request import GoneError, Headers, Request

MAX_UNASKED_BYTES: Final = 64 * 1024
"""Of a body that the application has not asked for."""

LAST: Final = (("connection", "close"), ("content-length", "0"))
"""Of an answer without content, the last of its connection."""

_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n" for each in HTTPStatus}
_BODILESS: Final = frozenset({204, 304})
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Carrier(Protocol):
    """The connection that an exchange goes over."""

    can_write: asyncio.Future[None] | None
    """Done when the client has taken most of what was sent; None while it has."""

    @property
    def date(self) -> str: ...

    @property
    def is_closing(self) -> bool: ...

    def write(self, content: bytes) -> None: ...

    def hold(self) -> None: ...

    def go_on(self) -> None: ...

    def finish(self, exchange: ServedExchange) -> None: ...

    def abort(self) -> None: ...


class ServedExchange:
    """One request and its answer."""

    def __init__(self, connection: Carrier, request: Request, *, keeps: bool) -> None:
        self.request = request
        self.keeps = keeps
        self.is_whole = False
        self.is_done = False
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self._body = bytearray()
        self._is_asked = False
        self._is_lost = False
        self._is_begun = False
        self._is_chunked = False
        self._is_streaming = False
        self._has_no_content = False
        self._news: asyncio.Future[None] | None = None
        self._gone: asyncio.Future[None] | None = None

    # What the connection calls.

    def take(self, content: bytes) -> None:
        """A part of the body."""
        if self._is_begun:
            return  # answered before it was read: nobody wants it
        self._body += content
        if not self._is_asked and len(self._body) > MAX_UNASKED_BYTES:
            self._connection.hold()

    def complete(self) -> None:
        """The body is whole."""
        self.is_whole = True
        self._wake()

    def lose(self) -> None:
        """The client has left."""
        self._is_lost = True
        self._wake()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def end(self) -> None:
        """The application is through."""
        if self._is_streaming:
            self._is_streaming, self.is_done = False, True
            if self._is_chunked:
                self._connection.write(b"0\r\n\r\n")
            self._connection.finish(self)
        elif not self._is_begun:
            raise RuntimeError("a request was not answered")

    def fail(self) -> None:
        """The application failed: nobody may take what was sent so far for whole."""
        if self.is_done:
            return
        if self._is_begun:
            self._connection.abort()
        else:
            self.keeps = False
            self.respond(500, [], b"")

    # What the application calls.

    async def read_body(self, timeout_s: float) -> bytes:
        self._is_asked = True
        if not self.is_whole and not self._is_lost:
            if not self._body and self._is_waited_for():
                self._connection.write(_CONTINUE)
            self._connection.go_on()
            self._news = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(timeout_s):
                await self._news
        if not self.is_whole:
            raise GoneError
        return bytes(self._body)

    def respond(self, status: int, headers: Headers, content: bytes) -> None:
        start = self._begin(status, headers, len(content))
        self.is_done = True
        self._connection.write(start if self._has_no_content else start + content)
        self._connection.finish(self)

    def begin_stream(self, status: int, headers: Headers) -> ServedExchange:
        start = self._begin(status, headers, None)
        self._is_streaming = True
        self._connection.write(start)
        return self

    async def send(self, content: bytes) -> None:
        if self._is_lost or self.is_done or self._connection.is_closing:
            raise GoneError
        if not content or self._has_no_content:
            return
        self._connection.write(b"%x\r\n%b\r\n" % (len(content), content) if self._is_chunked else content)
        if self._connection.can_write is not None:
            await asyncio.shield(self._connection.can_write)
        else:
            await asyncio.sleep(0)  # who has much to send lets others have their turn
        if self._is_lost:
            raise GoneError

    async def until_gone(self) -> None:
        if self._is_lost:
            return
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._gone)

    def _begin(self, status: int, headers: Headers, length: int | None) -> bytes:
        if self._is_begun:
            raise RuntimeError("a request was answered twice")
        told = {name.lower(): value for name, value in headers}
        self._has_no_content = status in _BODILESS or self.request.method == "HEAD"
        own: Headers = []
        if status not in _BODILESS:
            own = self._framing(told.get("content-length"), length)
        if told.get("connection", "").lower() == "close":
            self.keeps = False
        elif not self.keeps or not self.is_whole:
            own.append(("connection", "close"))
        elif self.request.http_version == "1.0":
            own.append(("connection", "keep-alive"))
        start = head(status, headers + own, self._connection.date)
        self._is_begun = True
        return start

    def _framing(self, told: str | None, length: int | None) -> Headers:
        """What says where the content ends, besides the length that the application tells. Raises `ValueError`."""
        if told is not None:
            if told != str(length) and not self._has_no_content:
                raise ValueError("an answer is not as long as it says")
            return []
        if length is not None:
            return [("content-length", str(length))]
        if self._has_no_content:
            return []
        self._is_chunked = self.request.http_version == "1.1"
        if self._is_chunked:
            return [("transfer-encoding", "chunked")]
        self.keeps = False
        return []

    def _is_waited_for(self) -> bool:
        """Whether the client sends its body only when it is asked for it."""
        expected = self.request.header("expect")
        return expected is not None and expected.lower() == "100-continue" and self.request.http_version == "1.1"

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def head(status: int, headers: Headers, date: str) -> bytes:
    """Status line and headers. Raises `ValueError` where a header would end its line by itself."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
        raise ValueError("a header of an answer holds a line break")
    return f"{_LINES[status]}date: {date}\r\n{lines}\r\n".encode("latin-1")


def date_now() -> str:
    """RFC 9110 §5.6.7."""
    return formatdate(time.time(), usegmt=True)
