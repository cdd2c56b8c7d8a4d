"""A token bucket for each client's writes. Bounded: a flood of addresses costs no more memory than a few thousand."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from pki_chain.gateway.problems import RejectedError


def subscriber(address: str) -> str:
    """Whom an address belongs to: everybody with IPv6 has 2^64 addresses or more, so its first 64 bits."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, 64), strict=False))


class RateLimit:
    """`burst` requests at once and `rate` a second after that, for each client and process."""

    def __init__(
        self,
        rate: float = 50.0,
        burst: int = 200,
        most_clients: int = 4_096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._most_clients = most_clients
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Count one request. Raises `RejectedError` (429, rate-limit) when the client has none left."""
        now, client = self._clock(), subscriber(client)
        with self._lock:
            left, since = self._buckets.pop(client, (float(self._burst), now))
            left = min(float(self._burst), left + (now - since) * self._rate)
            allowed = left >= 1.0
            self._buckets[client] = (left - 1.0 if allowed else left, now)
            if len(self._buckets) > self._most_clients:
                self._buckets.popitem(last=False)
        if not allowed:
            raise RejectedError(
                429,
                "rate-limit",
                f"More than {self._rate:g} writes a second came from this address. Wait a moment and send again.",
                retry_after_s=1,
            )
