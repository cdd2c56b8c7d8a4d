"""What stands between the HTTP server and Flask: bodies are awaited without a thread, within bounds of size and time,
and what Flask answers with a stream goes on without one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from identity_oidc.streams import WATCHED, WaitingStreams
from tally_service.wsgi import (
    Answer,
    BodyError,
    Receive,
    Scope,
    Send,
    ThreadedApplication,
    environ_of,
    receive_body,
    send_answer,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES: Final = 65_536
BODY_TIMEOUT_S: Final = 10.0
THREADS: Final = 8
MOST_REQUESTS: Final = 512
"""At once: what comes on top of them waits before its body is read."""


class Front:
    """An ASGI application round the WSGI one. One a process."""

    def __init__(
        self, application: WSGIApplication, streams: WaitingStreams, body_timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        self._application = ThreadedApplication(application, THREADS)
        self._streams = streams
        self._body_timeout_s = body_timeout_s
        self._turns = asyncio.Semaphore(MOST_REQUESTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises `NotImplementedError` for what is not HTTP."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        try:
            environ, (status, headers, page) = await self._answer(scope, receive)
        except BodyError as error:
            await send_answer(send, error.status, [(b"content-length", b"0"), (b"connection", b"close")], b"")
            return
        watched = environ.get(WATCHED)
        if watched is None or status != 200:
            await send_answer(send, status, headers, page)
        elif self._streams.has_room(watched):
            endless = [each for each in headers if each[0] != b"content-length"]
            await self._streams.follow(watched, endless, page, receive, send)
        else:
            await send_answer(send, 503, [(b"content-length", b"0"), (b"retry-after", b"2")], b"")

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[WSGIEnvironment, Answer]:
        """What Flask was asked, and its whole answer. Raises `BodyError`."""
        async with self._turns:
            body = b""
            if scope["method"] not in {"GET", "HEAD"}:
                body = await receive_body(receive, MAX_BODY_BYTES, self._body_timeout_s)
            environ = environ_of(scope, body)
            return environ, await self._application.answer(environ)
