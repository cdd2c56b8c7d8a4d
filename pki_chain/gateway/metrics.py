"""Counters of requests that all processes of a gateway share, and the text that Prometheus reads.

Each process counts in a file of its own, mapped into memory; who is scraped adds all of them up.
Source: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

ROUTES: Final = (
    "status",
    "bulk_status",
    "certificate",
    "lookup",
    "proof",
    "submit",
    "submission",
    "order",
    "order_state",
    "ocsp",
    "crl",
    "bundle",
    "changes",
    "list",
    "operation",
    "other",
)
CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
_SLOT: Final = struct.Struct("<Q")
_SIZE: Final = _SLOT.size * len(ROUTES) * len(CLASSES)
_PLACE: Final = {route: number * len(CLASSES) * _SLOT.size for number, route in enumerate(ROUTES)}


class Counters:
    """Requests by route and class of status."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None

    def count(self, route: str, status: int) -> None:
        """Add one. `route` is one of `ROUTES`."""
        place = _PLACE[route] + min(max(status // 100 - 2, 0), 3) * _SLOT.size
        with self._lock:
            if self._map is None:
                self._map = self._open()
            (value,) = _SLOT.unpack_from(self._map, place)
            _SLOT.pack_into(self._map, place, value + 1)

    def totals(self) -> dict[tuple[str, str], int]:
        """The sums over all processes since the gateway started."""
        sums = [0] * (len(ROUTES) * len(CLASSES))
        for path in sorted(self._directory.glob("*.counters")):
            content = path.read_bytes()
            if len(content) == _SIZE:
                sums = [total + value for total, (value,) in zip(sums, _SLOT.iter_unpack(content), strict=True)]
        places = [(route, status_class) for route in ROUTES for status_class in CLASSES]
        return dict(zip(places, sums, strict=True))

    def clear(self) -> None:
        """Begin at zero: the supervisor calls it before it starts the processes."""
        for path in self._directory.glob("*.counters"):
            path.unlink(missing_ok=True)

    def _open(self) -> mmap.mmap:
        """The file's space is taken first: a write to memory that finds none on the disk would kill the process. Where
        there is none, counts are kept to ourselves: to count is no reason to fail."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"{os.getpid()}.counters"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _SIZE)
                return mmap.mmap(descriptor, _SIZE)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("requests of this process are not counted: %s", error.strerror)
            return mmap.mmap(-1, _SIZE)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family; samples are (labels, value)."""

    name: str
    kind: str
    text: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def render(metrics: Iterable[Metric]) -> str:
    """The text that is scraped."""
    lines: list[str] = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, value in metric.samples:
            shown = ",".join(f'{name}="{label}"' for name, label in labels.items())
            lines.append(f"{metric.name}{{{shown}}} {value:.15g}" if shown else f"{metric.name} {value:.15g}")
    return "\n".join(lines) + "\n"
