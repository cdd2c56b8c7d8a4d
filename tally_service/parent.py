"""A supervisor that was killed cannot stop its children: they notice, and end by themselves."""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

_LOOK_EVERY_S: Final = 0.5


def end_with_parent(parent: int) -> None:
    """From a thread of its own: end this process once its parent is another than that process id.

    What these processes hold is on disk, and they must keep neither port nor locks from their successors.
    """
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)
