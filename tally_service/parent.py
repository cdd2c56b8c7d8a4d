"""A supervisor that was killed cannot stop its children: they notice, and end by themselves."""

from __future__ import annotations

import multiprocessing
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


def end_with_server() -> None:
    """In a worker that a server made with `multiprocessing`: as `end_with_parent`; elsewhere nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with_parent(parent.pid)


def _watch(parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)
