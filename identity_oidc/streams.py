"""The waiting pages' streams of server-sent events: they hold no thread, and one look at the database is for all.

A page may open a stream where Flask has checked session, request and limits, as for any other (`views.login.events`);
what follows is one word when the login waits no more. Source: HTML Living Standard §9.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from identity_oidc.errors import ProviderError
from tally_service.http_request import Exchange, GoneError, Headers, Stream

Look = Callable[[Collection[str]], Mapping[str, str]]
"""Of these challenges the news that there are. Raises `ProviderError`."""

WATCHED: Final = "tally.watched-challenge"
"""Where a WSGI answer says which challenge its stream is of."""
MEDIA_TYPE: Final = "text/event-stream"
RETRY_MS: Final = 2_000
MOST_STREAMS: Final = 4_000
MOST_OF_A_LOGIN: Final = 4
"""Tabs of one login."""
LOOK_EVERY_S: Final = 0.5
SIGN_OF_LIFE_EVERY_S: Final = 15.0
"""Less than the time after which a proxy takes the provider for dead."""

SIGN_OF_LIFE_SPREAD_S: Final = 5.0
_SPREAD: Final = 64

log = logging.getLogger(__name__)


def event(word: str) -> bytes:
    """One event; who loses the stream may open it again after a while."""
    return f"retry: {RETRY_MS}\ndata: {word}\n\n".encode()


class WaitingStreams:
    """All streams of one process; only ever used from its event loop."""

    def __init__(self, look: Look, most: int = MOST_STREAMS, look_every_s: float = LOOK_EVERY_S) -> None:
        self._look = look
        self._most = most
        self._look_every_s = look_every_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="waiting")
        self._waiting: dict[str, set[asyncio.Future[str]]] = {}
        self._open = 0
        self._is_closed = False
        self._watch: asyncio.Task[None] | None = None

    def has_room(self, challenge: str) -> bool:
        """Whether one more page may follow this challenge; who may not asks from time to time instead."""
        is_full = self._is_closed or self._open >= self._most
        return not is_full and len(self._waiting.get(challenge, ())) < MOST_OF_A_LOGIN

    async def follow(self, challenge: str, headers: Headers, first: bytes, exchange: Exchange) -> None:
        """Answer with a stream: `first` at once, and the news when there is some."""
        news: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(challenge, set()).add(news)
        self._open += 1
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_database())
        gone = asyncio.create_task(exchange.until_gone())
        try:
            stream = exchange.begin_stream(200, headers)
            await stream.send(first)
            await self._wait(news, gone, stream)
            if news.done() and not news.cancelled():
                await stream.send(event(news.result()))
        except GoneError:
            pass  # the browser went away while it was written to
        finally:
            gone.cancel()
            self._open -= 1
            self._waiting[challenge].discard(news)
            if not self._waiting[challenge]:
                del self._waiting[challenge]

    def close(self) -> None:
        """End all streams, and take no others: the pages open them again by themselves, where somebody answers."""
        self._is_closed = True
        for news in [each for of_one in self._waiting.values() for each in of_one]:
            news.cancel()

    async def _watch_database(self) -> None:
        """While pages wait, look, and tell those that there is news for."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            try:
                found = await loop.run_in_executor(self._thread, self._look, tuple(self._waiting))
            except ProviderError as error:  # away for a moment: the pages wait
                log.warning("%s %s", error.message, error.detail)
                found = {}
            for challenge, word in found.items():
                for news in self._waiting.get(challenge, ()):
                    if not news.done():
                        news.set_result(word)
            await asyncio.sleep(self._look_every_s)

    async def _wait(self, news: asyncio.Future[str], gone: asyncio.Task[None], stream: Stream) -> None:
        """Until there is news, or nobody to tell. Streams that were opened together do not write together."""
        every_s = SIGN_OF_LIFE_EVERY_S - (self._open % _SPREAD) / _SPREAD * SIGN_OF_LIFE_SPREAD_S
        while True:
            done, _ = await asyncio.wait((news, gone), timeout=every_s, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            await stream.send(b":\n\n")
