"""A bound on how often one and the same complaint is logged.

What goes wrong for one request goes wrong for thousands while a ledger is away, and whoever reaches a service can make
it complain. A log that grows with the requests fills the disk, and then nothing is taken in any more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_KINDS: Final = 1_024


class LogLimit(logging.Filter):
    """For a handler: lets through `burst` warnings and errors of one kind (logger and text before its values are put
    in) each `period_s`, and says with the next how many were left out. What tells of work done passes always."""

    def __init__(self, burst: int = 20, period_s: float = 60.0, ticks: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._burst = burst
        self._period_s = period_s
        self._ticks = ticks
        self._kinds: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()
        self._mutex = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now, kind = self._ticks(), (record.name, record.levelno, str(record.msg))
        with self._mutex:
            since, count = self._kinds.pop(kind, (now, 0))
            left_out = 0
            if now - since >= self._period_s:
                since, count, left_out = now, 0, max(0, count - self._burst)
            self._kinds[kind] = (since, count + 1)
            if len(self._kinds) > MOST_KINDS:
                self._kinds.popitem(last=False)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more like this were left out)", None
        return count < self._burst
