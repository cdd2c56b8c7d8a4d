"""Counters of requests that all processes of a service share.

Each process counts in a file of its own, mapped into memory; who is scraped adds all of them up.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
_SLOT: Final = struct.Struct("<Q")

log = logging.getLogger(__name__)


class Counters:
    """Requests by route and class of status. Safe for threads."""

    def __init__(self, routes: Sequence[str], directory: Path | None = None) -> None:
        """All processes give the same routes, in the same order; without a directory there is this process alone."""
        self._directory = directory
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None
        self._size = _SLOT.size * len(routes) * len(CLASSES)
        self._keys = [(route, status_class) for route in routes for status_class in CLASSES]
        self._places = {route: number * len(CLASSES) * _SLOT.size for number, route in enumerate(routes)}

    def count(self, route: str, status: int) -> None:
        """Add one. `route` is one of those given."""
        place = self._places[route] + min(max(status // 100 - 2, 0), 3) * _SLOT.size
        with self._lock:
            if self._map is None:
                self._map = self._open()
            (value,) = _SLOT.unpack_from(self._map, place)
            _SLOT.pack_into(self._map, place, value + 1)

    def totals(self) -> dict[tuple[str, str], int]:
        """The sums over all processes since the service started, by route and class."""
        sums = [0] * len(self._keys)
        for content in self._contents():
            if len(content) == self._size:
                sums = [total + value for total, (value,) in zip(sums, _SLOT.iter_unpack(content), strict=True)]
        return dict(zip(self._keys, sums, strict=True))

    def clear(self) -> None:
        """Begin at zero: the supervisor calls it before it starts the processes."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _contents(self) -> Iterable[bytes]:
        for path in self._files():
            yield path.read_bytes()
        with self._lock:
            if self._map is not None and self._directory is None:
                yield self._map[:]

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("*.counters")) if self._directory else []

    def _open(self) -> mmap.mmap:
        """The file's space is taken first: a write to memory that finds none on the disk would kill the process. Where
        there is none, counts are kept to ourselves: to count is no reason to fail."""
        if self._directory is None:
            return mmap.mmap(-1, self._size)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"{os.getpid()}.counters"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
                return mmap.mmap(descriptor, self._size)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("requests of this process are not counted: %s", error.strerror)
            return mmap.mmap(-1, self._size)
