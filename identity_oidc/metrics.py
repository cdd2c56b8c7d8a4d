"""Counts of this process, and the text that Prometheus reads. Source: Prometheus text exposition format 0.0.4."""

from __future__ import annotations

import threading
from collections import Counter


class Counters:
    """Requests by route and class of status. Labels are route names of ours, so their number is bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()

    def count(self, route: str, status: int) -> None:
        with self._lock:
            self._requests[route, f"{status // 100}xx"] += 1

    def text(self, process: int, gauges: dict[str, float]) -> str:
        """`process` is the worker that answers: a scrape meets one of them."""
        with self._lock:
            counts = sorted(self._requests.items())
        lines = ["# HELP tally_oidc_requests_total Requests.", "# TYPE tally_oidc_requests_total counter"]
        lines += [
            f'tally_oidc_requests_total{{process="{process}",route="{route}",status="{status}"}} {count}'
            for (route, status), count in counts
        ]
        for name, value in gauges.items():
            lines += [f"# TYPE tally_oidc_{name} gauge", f"tally_oidc_{name} {value:g}"]
        return "\n".join(lines) + "\n"
