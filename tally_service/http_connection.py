"""One connection of HTTP/1.1: requests in, answers out, one after the other, all in bounds of size and time.

A parser that others keep (llhttp) finds where requests begin and end; here is what follows from it. All of a worker's
connections live in one thread: a request that passes between threads costs several times what a kept answer costs.
Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol, cast
from urllib.parse import unquote_to_bytes, urlsplit

import httptools

from tally_service.http_exchange import LAST, ServedExchange, head
from tally_service.http_request import Application, GoneError, Headers, Request

MAX_HEAD_BYTES: Final = 32 * 1024
"""Request line and headers."""
MAX_HEADERS: Final = 100
MAX_WAITING: Final = 16
"""Requests that a client sends before it has the answer to the first."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which a connection is ended: until a request's head is whole; without a request; while a client
    takes nothing of its answer; while the rest of a body that nobody wanted is thrown away, so that the client sees the
    answer before the end."""

    head_s: float = 10.0
    idle_s: float = 75.0
    stuck_s: float = 30.0
    linger_s: float = 2.0


class Place(Protocol):
    """What the connections of a listener share."""

    application: Application
    patience: Patience
    now: float
    """Of the event loop's clock, as of a moment ago."""
    date: str
    connections: set[Connection]
    is_closing: bool

    def has_room(self) -> bool: ...


class Connection(asyncio.Protocol):
    """Between the transport and the application. Used from its event loop only."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: Headers = []
        self._head_bytes = 0
        self._silent_bytes = 0
        self._rest_bytes = 0
        self._is_in_head = False
        self._read: ServedExchange | None = None
        self._answered: ServedExchange | None = None
        self._waiting: deque[ServedExchange] = deque()
        self._refusal: int | None = None
        self._is_deaf = False
        self._is_over = False
        self._is_held = False
        self._deadline: float | None = place.now + place.patience.head_s
        self._left_bytes = 0
        self.can_write: asyncio.Future[None] | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._client = str(peer[0]) if peer else "unknown"
        self._server = (str(here[0]), int(here[1]))
        if self._place.has_room():
            self._place.connections.add(self)
        else:
            self._transport.write(head(503, [*LAST, ("retry-after", "2")], self._place.date))
            self._end()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            self._take_rest(data)
            return
        self._silent_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._is_deaf = True  # no other protocol is spoken here: the request is answered, and is the last
            self._take_rest(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, _RefusedError):
                raise  # a fault of ours: the event loop logs it, and ends the connection
            self._refuse(cause.status if isinstance(cause, _RefusedError) else 400)
        else:
            if self._silent_bytes > 2 * MAX_HEAD_BYTES:  # the parser keeps what is not a whole header yet
                self._refuse(431)

    def eof_received(self) -> None:
        """Who sends no more takes no answer either: the transport closes, once what was written is sent."""
        self._give_up(self._place.patience.stuck_s)

    def connection_lost(self, _: Exception | None) -> None:
        self._place.connections.discard(self)
        self._give_up(0.0)
        for exchange in (self._read, self._answered):
            if exchange is not None:
                exchange.lose()
        self.resume_writing()
        del self._parser  # which knows us: both would stay until the collector comes

    def pause_writing(self) -> None:
        if self.can_write is None:
            self.can_write = asyncio.get_running_loop().create_future()
            if not self._is_over:
                self._deadline = self._in(self._place.patience.stuck_s)

    def resume_writing(self) -> None:
        if self.can_write is None:
            return
        self.can_write.set_result(None)
        self.can_write = None
        if self._is_over:
            return
        if self._answered is None:
            self._go_on_answering()
        else:
            self._deadline = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._url, self._headers, self._head_bytes, self._is_in_head = b"", [], 0, True
        self._silent_bytes = 0
        if self._answered is None:
            self._deadline = self._in(self._place.patience.head_s)

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url), 414)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if len(self._headers) >= MAX_HEADERS:
            raise _RefusedError(431)
        self._headers.append((name.decode("latin-1").lower(), value.rstrip().decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        headers, self._headers = self._headers, []  # what comes after a body in chunks is for nobody
        if len(self._waiting) >= MAX_WAITING:
            raise _RefusedError(503)
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            raise _RefusedError(505)
        names = [name for name, _ in headers]
        hosts = names.count("host")
        if hosts > 1 or (not hosts and version == "1.1"):
            raise _RefusedError(400)
        path, query_string = _target(self._url, headers)
        request = Request(
            self._parser.get_method().decode("ascii"),
            path,
            query_string,
            headers,
            client=self._client,
            server=self._server,
            http_version=version,
        )
        # Where a body in chunks ends others may see otherwise: nothing is taken for a request after it.
        keeps = self._parser.should_keep_alive() and "transfer-encoding" not in names
        if self._parser.should_upgrade():
            keeps, self._rest_bytes = False, int(request.header("content-length") or 0)
        exchange = self._read = ServedExchange(self, request, keeps=keeps)
        if self._answered is None and self.can_write is None:
            self._start(exchange)
        else:
            self._waiting.append(exchange)
            self.hold()

    def on_body(self, content: bytes) -> None:
        self._silent_bytes = 0
        if self._read is not None:
            self._read.take(content)

    def on_message_complete(self) -> None:
        if self._read is not None and not self._rest_bytes:
            self._read.complete()
            self._read = None

    def _count(self, octets: int, refusal: int = 431) -> None:
        self._head_bytes += octets
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _RefusedError(refusal)

    # What exchanges and the listener call.

    @property
    def date(self) -> str:
        return self._place.date

    @property
    def is_closing(self) -> bool:
        """Whether nothing that is written from now on is sent."""
        return self._transport.is_closing()

    def write(self, content: bytes) -> None:
        """Send, unless the client has left."""
        if not self._transport.is_closing():
            self._transport.write(content)

    def hold(self) -> None:
        """Read no more for now."""
        if not self._is_held and not self._transport.is_closing():
            self._is_held = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self._is_held and not self._transport.is_closing():
            self._is_held = False
            self._transport.resume_reading()

    def finish(self, exchange: ServedExchange) -> None:
        """The answer is written whole; what comes after it."""
        self._answered = None
        if self._transport.is_closing():
            return
        if not exchange.is_whole:
            self._linger()
        elif not exchange.keeps or self._place.is_closing:
            self._end()
        else:
            self._go_on_answering()

    def abort(self) -> None:
        """End now, whatever is not sent."""
        self._transport.abort()

    def close(self) -> None:
        """End as soon as what is being answered is: no other request is taken."""
        if self._answered is not None:
            self._answered.keeps = False
        elif not self._is_over:
            self._end()

    def look(self) -> None:
        """Once a second: end what has waited for too long."""
        if self._deadline is None or self._place.now < self._deadline:
            return
        left = self._transport.get_write_buffer_size()
        if left and left != self._left_bytes:  # slow, and on its way
            self._left_bytes = left
            self._deadline = self._in(self._place.patience.stuck_s)
        elif left or self._is_over or self._transport.is_closing():
            self.abort()
        elif self._is_in_head:
            self._refuse(408)
        else:
            self._end()

    def _start(self, exchange: ServedExchange) -> None:
        self._answered = exchange
        self._deadline = None
        exchange.task = asyncio.get_running_loop().create_task(self._answer(exchange))

    async def _answer(self, exchange: ServedExchange) -> None:
        try:
            await self._place.application(exchange.request, exchange)
            exchange.end()
        except (GoneError, asyncio.CancelledError):
            if not exchange.is_done:
                self.abort()
        except Exception:
            log.exception("a request failed")
            exchange.fail()

    def _go_on_answering(self) -> None:
        """What comes after an answer, once the client has taken most of it."""
        if self.can_write is not None:
            return
        if self._waiting:
            self._start(self._waiting.popleft())
        elif self._refusal is not None:
            self.write(head(self._refusal, [*LAST], self._place.date))
            self._linger()
        else:
            patience = self._place.patience
            self._deadline = self._in(patience.head_s if self._is_in_head else patience.idle_s)
            self.go_on()

    def _refuse(self, status: int) -> None:
        """Answer what is no request, after those before it; nothing else is read."""
        self._is_deaf = True
        self._refusal = status
        if self._read is not None:
            self._read.lose()
        if self._answered is None:
            self._go_on_answering()

    def _take_rest(self, data: bytes) -> None:
        """The body of a request that asks for another protocol: to the parser it is that protocol's."""
        if self._rest_bytes:
            content = data[: self._rest_bytes]
            self._rest_bytes -= len(content)
            self.on_body(content)
            self.on_message_complete()

    def _linger(self) -> None:
        """Say that nothing more comes, and throw away what does: to close at once could take the answer back."""
        self._give_up(self._place.patience.linger_s)
        if not self._transport.is_closing():
            self._transport.write_eof()
        self.go_on()

    def _end(self) -> None:
        if self._is_held:  # there is something unread
            self._linger()
        else:
            self._give_up(self._place.patience.stuck_s)
            self._transport.close()

    def _give_up(self, seconds: float) -> None:
        """Read nothing more, answer nothing more, and be gone by then."""
        self._is_deaf = self._is_over = True
        self._rest_bytes = 0
        self._waiting.clear()
        self._deadline = self._in(seconds)

    def _in(self, seconds: float) -> float:
        return self._place.now + seconds


class _RefusedError(Exception):
    """What is no request for us, by its status of HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _target(url: bytes, headers: Headers) -> tuple[str, str]:
    """Path, decoded, and query of a request's target, which names no other host than the headers. Raises
    `_RefusedError`. Source: RFC 9112 §3.2."""
    if not url.startswith(b"/"):
        try:
            parts = urlsplit(url.decode("ascii"))
        except ValueError:
            raise _RefusedError(400) from None
        host = dict(headers).get("host", "")
        if parts.scheme not in {"http", "https"} or not host or parts.netloc.lower() != host.lower():
            raise _RefusedError(400)
        url = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}".encode("ascii")
    path, _, query = url.partition(b"?")
    decoded = unquote_to_bytes(path) if b"%" in path else path
    return decoded.decode("latin-1"), query.decode("latin-1")
