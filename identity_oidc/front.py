"""What stands between the HTTP server and Flask: bodies are awaited without a thread, within bounds of size and time,
and what Flask answers with a stream goes on without one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from identity_oidc.streams import WATCHED, WaitingStreams
from identity_oidc.workplace import Answering, Workplace
from tally_service.http_request import Answer, BodyError, Exchange, Request, environ_of, receive_body

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_BODY_BYTES: Final = 65_536
BODY_TIMEOUT_S: Final = 10.0
THREADS: Final = 8
MOST_REQUESTS: Final = 512
"""At once: what comes on top of them waits before its body is read."""

_EMPTY: Final = ("content-length", "0")


class Front:
    """An application round the WSGI one. One a process."""

    def __init__(
        self,
        answering: Answering,
        streams: WaitingStreams,
        *,
        in_loop: bool = True,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        """`in_loop` as `Workplace` has it."""
        self._workplace = Workplace(answering, THREADS, in_loop=in_loop)
        self._streams = streams
        self._body_timeout_s = body_timeout_s
        self._turns = asyncio.Semaphore(MOST_REQUESTS)

    def close(self) -> None:
        """End what does not end by itself, and begin no more of it."""
        self._streams.close()

    async def __call__(self, request: Request, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            environ, (status, headers, page) = await self._answer(request, exchange)
        except BodyError as error:
            exchange.respond(error.status, [_EMPTY, ("connection", "close")], b"")
            return
        watched = environ.get(WATCHED)
        if watched is None or status != 200:
            exchange.respond(status, headers, page)
        elif self._streams.has_room(watched):
            endless = [each for each in headers if each[0].lower() != "content-length"]
            await self._streams.follow(watched, endless, page, exchange)
        else:
            exchange.respond(503, [_EMPTY, ("retry-after", "2")], b"")

    async def _answer(self, request: Request, exchange: Exchange) -> tuple[WSGIEnvironment, Answer]:
        """What Flask was asked, and its whole answer. Raises `BodyError`."""
        async with self._turns:
            body = b""
            if request.method not in {"GET", "HEAD"}:
                body = await receive_body(request, exchange, MAX_BODY_BYTES, self._body_timeout_s)
            environ = environ_of(request, body, request.client)
            return environ, await self._workplace.answer(environ)
