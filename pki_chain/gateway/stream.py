"""The change feed as a stream of server-sent events: an application of its own, in a process of its own.

A stream lasts for days and would hold a thread of those that answer questions; here a thousand of them wait on one
event. Every change is read and written out once, however many follow. Source: HTML Living Standard §9.2.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Final
from urllib.parse import parse_qs

from pki_chain.errors import TallyError
from pki_chain.gateway.change_answers import change_content, read_after
from pki_chain.gateway.freshness import Freshness
from pki_chain.gateway.problems import MEDIA_TYPE, EnvelopeError, RejectedError, problem_of
from pki_chain.index.change_log import Change, ChangeLog
from pki_chain.index.queries import ReadModel
from tally_service.http_request import Exchange, GoneError, Headers, Request, Stream

PATH: Final = "/v1/changes"
MAX_STREAMS: Final = 4_000
LOOK_EVERY_S: Final = 0.05
HEAD_EVERY_S: Final = 5.0
"""A stream says at least so often as of which block it speaks: who hears nothing for longer is cut off."""

_KEPT: Final = 10_000
_PAGE: Final = 200
_EVENT_STREAM: Final[Headers] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),
    ("x-content-type-options", "nosniff"),
]


class ChangeStream:
    """An application of a process of its own."""

    def __init__(
        self,
        read_model: ReadModel,
        change_log: ChangeLog,
        freshness: Freshness,
        member_token: bytes | None,
        head_every_s: float = HEAD_EVERY_S,
    ) -> None:
        self._read_model = read_model
        self._change_log = change_log
        self._freshness = freshness
        self._token = member_token
        self._head_every_s = head_every_s
        self._streams = 0
        self._version = -1
        self._latest: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._complete_from = 0
        self._position = 0
        self._news = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    async def __call__(self, request: Request, exchange: Exchange) -> None:
        """Answer one request with a stream, or a problem."""
        try:
            position = self._begin(request)
            self._ensure_watched()
        except TallyError as error:
            _refuse(exchange, error)
            return
        self._streams += 1
        gone = asyncio.ensure_future(exchange.until_gone())
        try:
            await self._stream(position, exchange.begin_stream(200, _EVENT_STREAM), gone)
        except GoneError:
            pass  # the client went away while it was written to
        finally:
            gone.cancel()
            self._streams -= 1

    def _begin(self, request: Request) -> int:
        """The position to go on from. Raises `TallyError`."""
        if request.path != PATH or request.method != "GET":
            raise RejectedError(404, "no-such-route", f"Only GET {PATH} is answered here.")
        if self._token is not None:
            kind, _, given = (request.header("authorization") or "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
                raise RejectedError(
                    401, "member-token", "Lists are for members. Send Authorization: Bearer and a token."
                )
        if self._streams >= MAX_STREAMS:
            raise RejectedError(503, "busy", "Too many streams are open. Ask another gateway.", retry_after_s=30)
        query = parse_qs(request.query_string, keep_blank_values=True, max_num_fields=4)
        if query.keys() - {"after"} or len(query.get("after", [""])) != 1:
            raise EnvelopeError(400, "bad-query", "The query takes after, at most once.")
        # A client that lost its stream says where it was, which is later than where it began.
        cursor = request.header("last-event-id") or query.get("after", ["0"])[0]
        return read_after(cursor, self._change_log, self._freshness.moment().block.number)

    async def _stream(self, position: int, stream: Stream, gone: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        head_at = 0.0
        while not gone.done():
            news = self._news
            events = self._after(position)
            if events:
                position = events[-1][0]
                await stream.send(b"".join(content for _, content in events))
            elif loop.time() >= head_at:
                head_at = loop.time() + self._head_every_s
                await stream.send(self._head())
            else:
                woken = asyncio.create_task(news.wait())
                await asyncio.wait((woken, gone), timeout=head_at - loop.time(), return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()

    def _after(self, position: int) -> Sequence[tuple[int, bytes]]:
        """The next events after a position: what all wait for from memory, what lies further back from the tables."""
        if position >= self._complete_from:
            if not self._latest or self._latest[-1][0] <= position:
                return ()
            return [*takewhile(lambda event: event[0] > position, reversed(self._latest))][::-1][:_PAGE]
        try:
            return [(each.position, _event(each)) for each in self._change_log.changes(position, _PAGE)]
        except TallyError:
            return ()

    def _head(self) -> bytes:
        """As of which block the stream speaks; without one while the gateway lags."""
        try:
            moment = self._freshness.moment()
        except TallyError as error:
            return _format("lagging", {"code": error.code})
        return _format("head", moment.content())

    def _ensure_watched(self) -> None:
        """While somebody follows, a task looks for changes. Raises `NotReadyError`, `IndexFaultError`."""
        if self._watch is None or self._watch.done():
            self._latest.clear()
            self._position = self._complete_from = self._change_log.position()
            self._version = -1
            self._watch = asyncio.create_task(self._watch_ledger())

    async def _watch_ledger(self) -> None:
        """Look for changes, and wake all who wait."""
        while self._streams:
            try:
                self._look()
            except TallyError:
                self._version = -1  # the read model is away for a moment; nothing is lost
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        """Take in what is new."""
        version = self._read_model.version()
        if version == self._version:
            return
        before = self._position
        while page := self._change_log.changes(self._position, _PAGE):
            self._latest.extend((each.position, _event(each)) for each in page)
            self._position = page[-1].position
        self._version = version
        if len(self._latest) == _KEPT:
            self._complete_from = max(self._complete_from, self._latest[0][0])
        if self._position != before:
            self._news.set()
            self._news = asyncio.Event()


def _event(change: Change) -> bytes:
    content = change_content(change)
    return f"id: {change.position}\n".encode() + _format("change", content)


def _format(kind: str, content: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n".encode()


def _refuse(exchange: Exchange, error: TallyError) -> None:
    response = problem_of(error)
    headers = [("content-type", MEDIA_TYPE), ("cache-control", "no-store")]
    exchange.respond(response.status_code, headers, response.get_data())
