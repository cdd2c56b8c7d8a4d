"""A token bucket for each client. Bounded: a flood of addresses costs no more memory than a few thousand."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

from identity_oidc.config import LimitSettings

MOST_CLIENTS = 8_192


class RateLimit:
    """For one process; `ticks` are seconds that never go back."""

    def __init__(self, settings: LimitSettings, ticks: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._ticks = ticks
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> bool:
        """Whether this client may send one more request now."""
        now, client = self._ticks(), network_of(client)
        with self._lock:
            left, since = self._buckets.pop(client, (self._settings.burst, now))
            left = min(self._settings.burst, left + (now - since) * self._settings.rate)
            is_allowed = left >= 1
            self._buckets[client] = (left - 1 if is_allowed else left, now)
            if len(self._buckets) > MOST_CLIENTS:
                self._buckets.popitem(last=False)
        return is_allowed


@lru_cache(maxsize=MOST_CLIENTS)
def network_of(address: str) -> str:
    """Whose address it is: everybody with IPv6 has 2^64 or more, so its first 64 bits."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Network((found, 64), strict=False))
