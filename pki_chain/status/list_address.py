"""Which part of its CA's revocation list a certificate belongs to: what its own cRLDistributionPoints say.

The CA put the address in, and a validator takes a list with a distribution point for this certificate only where the
two have an address in common. So the part is read from the address, and from nothing else. Source: RFC 5280 §4.2.1.13,
§5.2.5, §6.3.3 (b) (2) (i).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

LAST_PART: Final = 65_535
FULL_PART: Final = 15_000
"""So many certificates in a part, and it stays below 1 MB if all of them are revoked."""

EVERY_PART: Final = -1
"""Of a certificate whose addresses name several parts: it is in all of them, so that none is silent about it."""

_ADDRESS: Final = re.compile(rb"https?://[^?#]+/crl/[0-9a-f]{64}/(0|[1-9][0-9]{0,4})\.crl")


def part_named_by(address: bytes) -> int | None:
    """The part that an address ending in /crl/{CA's id}/{part}.crl names, at whatever gateway; None for another.

    The id is not compared: the same CA has another one after a renewal.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match[1]) > LAST_PART:
        return None
    return int(match[1])


def part_named_by_all(addresses: Iterable[bytes]) -> int | None:
    """The part of a certificate with these addresses, `EVERY_PART`, or None where they name no part."""
    found = {part for part in map(part_named_by, addresses) if part is not None}
    return found.pop() if len(found) == 1 else EVERY_PART if found else None
