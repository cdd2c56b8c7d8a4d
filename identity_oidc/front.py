"""What stands between the HTTP server and Flask: bodies are awaited without a thread, within bounds of size and time,
and what Flask answers with a stream goes on without one.

Under plain WSGI the server hands a request on before its body has arrived, so that a few senders who stop half-way
would hold every thread of a worker for good. Source: ASGI 3.0 (HTTP), PEP 3333.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from identity_oidc.streams import WATCHED, WaitingStreams

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]

MAX_BODY_BYTES: Final = 65_536
BODY_TIMEOUT_S: Final = 10.0
THREADS: Final = 8
MOST_REQUESTS: Final = 512
"""At once: what comes on top of them waits before its body is read."""


class _NotTakenError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Front:
    """An ASGI application round the WSGI one. One a process."""

    def __init__(
        self, application: WSGIApplication, streams: WaitingStreams, body_timeout_s: float = BODY_TIMEOUT_S
    ) -> None:
        self._application = application
        self._streams = streams
        self._body_timeout_s = body_timeout_s
        self._turns = asyncio.Semaphore(MOST_REQUESTS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises `NotImplementedError` for what is not HTTP."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        try:
            environ, (status, headers, page) = await self._answer(scope, receive)
        except _NotTakenError as error:
            await _send(send, error.status, [(b"content-length", b"0"), (b"connection", b"close")], b"")
            return
        watched = environ.get(WATCHED)
        if watched is None or status != 200:
            await _send(send, status, headers, page)
        elif self._streams.has_room(watched):
            endless = [each for each in headers if each[0] != b"content-length"]
            await self._streams.follow(watched, endless, page, receive, send)
        else:
            await _send(send, 503, [(b"content-length", b"0"), (b"retry-after", b"2")], b"")

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[WSGIEnvironment, Answer]:
        """What Flask was asked, and its whole answer. Raises `_NotTakenError`."""
        async with self._turns:
            environ = wsgi_environ(scope, await self._body(scope, receive))
            loop = asyncio.get_running_loop()
            return environ, await loop.run_in_executor(self._threads, self._run, environ)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        if scope["method"] in {"GET", "HEAD"}:
            return b""
        try:
            async with asyncio.timeout(self._body_timeout_s):
                return await _receive_body(receive)
        except TimeoutError:
            raise _NotTakenError(408) from None

    def _run(self, environ: WSGIEnvironment) -> Answer:
        """The WSGI application's whole answer."""
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
            started[:] = [(status, headers)]
            return _no_write

        parts: Iterable[bytes] = self._application(environ, start_response)
        try:
            content = b"".join(parts)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        ((status, headers),) = started
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return int(status[:3]), encoded, content


def wsgi_environ(scope: Scope, body: bytes) -> WSGIEnvironment:
    """A request as PEP 3333 has it. Header names with `_` are dropped: they would pass for others with `-`."""
    server = scope.get("server") or ("localhost", 80)
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8", "surrogateescape").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("unknown",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(body)),
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        if name in {"CONTENT_LENGTH", "TRANSFER_ENCODING"} or b"_" in raw_name:
            continue
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        mark = "; " if name == "COOKIE" else ","
        environ[key] = f"{environ[key]}{mark}{value}" if key in environ else value
    return environ


async def _receive_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise _NotTakenError(400)
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise _NotTakenError(413)
        if not message.get("more_body", False):
            return bytes(body)


async def _send(send: Send, status: int, headers: Headers, content: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _no_write(_: bytes) -> object:
    raise NotImplementedError("write() of PEP 3333 is not offered: return the content")
