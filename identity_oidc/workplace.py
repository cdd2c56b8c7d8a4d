"""Where a request is answered: in the event loop itself, or by threads where that would keep others waiting.

To hand a request to a thread and its answer back costs as much as many a request: two processors wake each other, and
threads wait for the interpreter's lock. Over an embedded database nothing is to be had for it, since its writers are
alone anyway. But a gateway that hangs, or a database that somebody else holds, must keep a request waiting and not a
worker: so the first one that takes long sends those after it to threads, until things have been quick for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tally_service.http_request import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Answering = Callable[["WSGIEnvironment"], Answer]

SLOW_S: Final = 0.5
"""More than a request takes on a busy machine, and less than what hangs takes to be given up."""
THREADS_AFTER_S: Final = 30.0


class Workplace:
    """Of one process; used from its event loop only."""

    def __init__(
        self,
        answering: Answering,
        threads: int,
        *,
        in_loop: bool = True,
        slow_s: float = SLOW_S,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """`in_loop` is whether a request may be answered in the event loop at all."""
        self._answering = answering
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._in_loop = in_loop
        self._slow_s = slow_s
        self._ticks = ticks
        self._threads_until = ticks()

    async def answer(self, environ: WSGIEnvironment) -> Answer:
        """The whole answer: status, headers, content."""
        if self._in_loop and self._ticks() >= self._threads_until:
            return self._run(environ)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, environ)

    def _run(self, environ: WSGIEnvironment) -> Answer:
        begun = self._ticks()
        try:
            return self._answering(environ)
        finally:
            ended = self._ticks()
            if ended - begun > self._slow_s:
                self._threads_until = ended + THREADS_AFTER_S
