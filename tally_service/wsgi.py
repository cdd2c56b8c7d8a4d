"""A WSGI application whose requests a few threads answer, each once it is whole.

Under plain WSGI the server hands a request on before its body has arrived, so that a few senders who stop half-way
would hold every thread of a worker for good. Source: PEP 3333.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tally_service.http_request import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


class ThreadedApplication:
    """A WSGI application, and its threads."""

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
        return int(status[:3]), [(name.lower(), value) for name, value in headers], content


def _no_write(_: bytes) -> object:
    raise NotImplementedError("write() of PEP 3333 is not offered: return the content")
