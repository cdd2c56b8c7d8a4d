"""A gate that many pass together or one alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pki_chain.errors import LedgerUnavailableError


class Gate:
    """Requests pass together; the making of a block (or a recovery) passes alone and goes before those that wait."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._alone = False
        self._closing = 0

    @contextmanager
    def together(self, timeout_s: float) -> Iterator[None]:
        """Raises `LedgerUnavailableError` when the gate stays closed for `timeout_s`."""
        with self._condition:
            if not self._condition.wait_for(lambda: not self._alone and not self._closing, timeout_s):
                raise LedgerUnavailableError("The engine is recovering. Try again in a moment.")
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._condition:
            self._closing += 1
            self._condition.wait_for(lambda: not self._alone and not self._inside)
            self._closing -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()
