"""From ASGI to a WSGI application: bodies are awaited without a thread, and a request gets one when it is whole.

Under plain WSGI the server hands a request on before its body has arrived, so that a few senders who stop half-way
would hold every thread of a worker for good. Source: ASGI 3.0 (HTTP), PEP 3333.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]


class BodyError(Exception):
    """A body that is not taken; `status` of HTTP is 400 (cut off), 408 (too slow) or 413 (too large)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ThreadedApplication:
    """A WSGI application whose requests are answered by a few threads."""

    def __init__(self, application: WSGIApplication, threads: int) -> None:
        self._application = application
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def answer(self, environ: WSGIEnvironment) -> Answer:
        """The whole answer: status, headers with names in lower case, content."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, environ)

    def _run(self, environ: WSGIEnvironment) -> Answer:
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


def environ_of(scope: Scope, body: bytes) -> WSGIEnvironment:
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


async def receive_body(receive: Receive, most_bytes: int, timeout_s: float) -> bytes:
    """The whole body. Raises `BodyError`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _receive(receive, most_bytes)
    except TimeoutError:
        raise BodyError(408) from None


async def send_answer(send: Send, status: int, headers: Headers, content: bytes) -> None:
    """A whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _receive(receive: Receive, most_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise BodyError(400)
        body += message.get("body", b"")
        if len(body) > most_bytes:
            raise BodyError(413)
        if not message.get("more_body", False):
            return bytes(body)


def _no_write(_: bytes) -> object:
    raise NotImplementedError("write() of PEP 3333 is not offered: return the content")
