"""A bounded number of places: who finds none is sent away at once and does not wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pki_chain.gateway.problems import RejectedError


class Places:
    """So many at once."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Within this, one place is taken. Raises `RejectedError` (503, busy) when there is none."""
        if not self._free.acquire(blocking=False):
            raise RejectedError(
                503,
                "busy",
                "Too many requests wait for the ledger at this gateway. Send it again in a moment.",
                retry_after_s=2,
            )
        try:
            yield
        finally:
            self._free.release()
