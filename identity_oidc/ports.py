"""What the provider needs of the world: time, and the ledger's word on identities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType, Protocol

Clock = Callable[[], float]
"""Seconds since 1970."""

IdentityId = NewType("IdentityId", bytes)
"""An identity on the ledger: 32 random bytes."""


class IdentityState(StrEnum):
    """As the identity registry has it; only `ACTIVE` logs in."""

    NONE = "none"
    REGISTERED = "registered"
    ACTIVE = "active"
    HELD = "held"
    REPLACING = "replacing"
    REVOKED = "revoked"


class Attestation(StrEnum):
    """Who answers for the card that made the key."""

    NONE = "none"
    PERSONALISER = "personaliser"
    VENDOR_CERTIFICATE = "vendor-certificate"


@dataclass(frozen=True, slots=True)
class LedgerIdentity:
    """What the ledger says of one identity, as of a block.

    `public_key` is the uncompressed point's x and y, 64 bytes; `block` a height; `age_s` how old the head is that was
    asked, in seconds.
    """

    identity: IdentityId
    public_key: bytes
    state: IdentityState
    attestation: Attestation
    is_card_enforced: bool
    is_emulator: bool
    block: int
    age_s: float


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """An identity whose state or key changed."""

    identity: IdentityId
    kind: str


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in the ledger's order, and the cursor behind the last of them."""

    changes: Sequence[IdentityChange]
    cursor: str
    age_s: float


class IdentityLedger(Protocol):
    """Reads the identity registry. Every method raises `LedgerStaleError` where no answer is to be had."""

    def identity(self, identity: IdentityId) -> LedgerIdentity | None:
        """What the ledger holds of it, or None for an id that it does not know."""
        ...

    def changes(self, after: str) -> ChangePage:
        """What changed behind a cursor; the empty cursor begins at the first block."""
        ...
