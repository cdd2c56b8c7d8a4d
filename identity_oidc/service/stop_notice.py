"""Word to the workers that the server stops, before they wait for their connections to end.

Granian lets a worker finish what was asked of it, and tells the application nothing: streams that never end by
themselves would hold it up until it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

_VARIABLE: Final = "TALLY_OIDC_STOP_NOTICE"
"""The number of the descriptor that all workers inherit."""


def give_notice() -> None:
    """In the server process, when it has set its own handlers of signals: workers that it starts hear of a stop."""
    notice = os.eventfd(0, os.EFD_NONBLOCK)  # nobody takes the one that is put in: every worker sees it
    os.environ[_VARIABLE] = str(notice)
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)

        def stop(signum: int, frame: FrameType | None, before: object = before) -> None:
            os.eventfd_write(notice, 1)
            if callable(before):
                before(signum, frame)

        signal.signal(number, stop)


def follow_stop(act: Callable[[], None]) -> Callable[[asyncio.AbstractEventLoop], None]:
    """For a worker's event loop: call `act` in it once the server was told to stop."""

    def follow(loop: asyncio.AbstractEventLoop) -> None:
        notice = os.environ.get(_VARIABLE)
        if notice is None:
            return

        def hear() -> None:
            loop.remove_reader(int(notice))
            act()

        loop.add_reader(int(notice), hear)

    return follow
