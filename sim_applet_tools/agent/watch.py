"""What the agent asks of the ledger about its own identity. The command wires an adapter; none is in this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

IdentityState = Literal["unknown", "registered", "active", "held", "revoked"]


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """One entry of an identity's append-only key history, oldest first; `since` in seconds since 1970."""

    x: bytes
    """32 bytes, big endian, as `y`."""
    y: bytes
    since: int


@dataclass(frozen=True, slots=True)
class IdentitySight:
    """An identity as the ledger has it at `block_time` (seconds since 1970).

    `keys` is the whole history, replaced keys too. `replacement_due_at` is when a replacement that waits out its delay
    takes effect, 0 where none does; `replacement_key` is then the key that would come (None where it is not told).
    """

    identity: str
    """`0x` and 64 hexadecimal digits."""
    state: IdentityState
    keys: tuple[IdentityKey, ...]
    block_time: int
    replacement_due_at: int = 0
    replacement_key: IdentityKey | None = None


class IdentityWatch(Protocol):
    """Looks an identity up, at a party that the agent's owner chose (best another than the provider)."""

    def look(self, identity: str) -> IdentitySight:
        """What the ledger says now; state `unknown` and no keys where it has no such identity.

        Raises `WatchUnavailableError` where the ledger cannot be asked, or its answer is older than its own bound.
        """
