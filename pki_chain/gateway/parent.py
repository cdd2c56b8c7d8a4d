"""A supervisor that was killed cannot stop its children: they notice, and stop by themselves."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Final

_LOOK_EVERY_S: Final = 0.5


def watch_parent(parent: int, act: Callable[[], object]) -> None:
    """From a thread of its own: `act` once this process has another parent than that process id."""
    threading.Thread(target=_watch, args=(parent, act), name="parent-watch", daemon=True).start()


def end_at_once() -> None:
    """What these processes hold is on disk, and they must keep neither port nor locks from their successors."""
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int, act: Callable[[], object]) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(_LOOK_EVERY_S)
    act()
