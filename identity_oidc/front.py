"""What stands between the HTTP server and Flask: bodies are awaited without a thread, within bounds of size and time,
and what Flask answers with a stream goes on without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from identity_oidc.streams import WATCHED, WaitingStreams
from identity_oidc.workplace import Answering, Workplace
from tally_service.rsgi import (
    Answer,
    BodyError,
    Deadlines,
    Scope,
    StreamingProtocol,
    address_of,
    environ_of,
    receive_body,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_BODY_BYTES: Final = 65_536
BODY_TIMEOUT_S: Final = 10.0
THREADS: Final = 8
MOST_REQUESTS: Final = 512
"""At once: what comes on top of them waits before its body is read."""

_EMPTY: Final = ("content-length", "0")


class Front:
    """An RSGI application round the WSGI one. One a process."""

    def __init__(
        self,
        answering: Answering,
        streams: WaitingStreams,
        *,
        in_loop: bool = True,
        body_timeout_s: float = BODY_TIMEOUT_S,
        begin: Callable[[asyncio.AbstractEventLoop], None] = lambda _: None,
    ) -> None:
        """`in_loop` as `Workplace` has it; `begin` is called with the event loop before the first request."""
        self._begin = begin
        self._workplace = Workplace(answering, THREADS, in_loop=in_loop)
        self._streams = streams
        self._deadlines = Deadlines(body_timeout_s)
        self._turns = asyncio.Semaphore(MOST_REQUESTS)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the server before the first request."""
        self._begin(loop)

    async def __rsgi__(self, scope: Scope, protocol: StreamingProtocol) -> None:
        """Answer one request. Raises `NotImplementedError` for what is not HTTP."""
        if scope.proto != "http":
            raise NotImplementedError(scope.proto)
        try:
            environ, (status, headers, page) = await self._answer(scope, protocol)
        except BodyError as error:
            protocol.response_bytes(error.status, [_EMPTY, ("connection", "close")], b"")
            return
        watched = environ.get(WATCHED)
        if watched is None or status != 200:
            protocol.response_bytes(status, headers, page)
        elif self._streams.has_room(watched):
            endless = [each for each in headers if each[0].lower() != "content-length"]
            await self._streams.follow(watched, endless, page, protocol)
        else:
            protocol.response_bytes(503, [_EMPTY, ("retry-after", "2")], b"")

    async def _answer(self, scope: Scope, protocol: StreamingProtocol) -> tuple[WSGIEnvironment, Answer]:
        """What Flask was asked, and its whole answer. Raises `BodyError`."""
        async with self._turns:
            body = b""
            if scope.method not in {"GET", "HEAD"}:
                body = await receive_body(scope, protocol, MAX_BODY_BYTES, self._deadlines)
            environ = environ_of(scope, body, address_of(scope.client))
            return environ, await self._workplace.answer(environ)
