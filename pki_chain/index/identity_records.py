"""What a read model answers about people's identities. Nothing in it is personal: ids are random, as are keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from pki_chain.ports import Address, CardKey, IdentityState

_P256_SPKI: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""SubjectPublicKeyInfo of a P-256 key up to its coordinates. Source: RFC 5480 §2."""


def spki_hash(x: bytes, y: bytes) -> bytes:
    """SHA-256 of a key's SubjectPublicKeyInfo, under which the ledger blocks it."""
    return hashlib.sha256(_P256_SPKI + x + y).digest()


@dataclass(frozen=True, slots=True)
class ReplacementRecord:
    """A key that waits for its delay and for another account's confirmation."""

    key: CardKey
    started_by: Address
    executable_at: int


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """An identity as `IIdentityRegistry.identityOf` has it; times in seconds since 1970.

    `activated_at` is 0 while the current key has not signed, `reason` 0 unless revoked. `is_key_blocked`: the key is
    blocked in the certificate registry, and nobody has had the identity held for it yet.
    """

    id: bytes
    operator: int
    key: CardKey
    is_held: bool
    is_revoked: bool
    reason: int
    counter: int
    key_count: int
    registered_at: int
    key_since: int
    activated_at: int
    changed_at: int
    is_key_blocked: bool
    replacement: ReplacementRecord | None

    @property
    def state(self) -> IdentityState:
        """The first that applies: revoked, held, replacing, then registered or active."""
        if self.is_revoked:
            return IdentityState.REVOKED
        if self.is_held:
            return IdentityState.HELD
        if self.replacement is not None:
            return IdentityState.REPLACING
        return IdentityState.ACTIVE if self.activated_at else IdentityState.REGISTERED


@dataclass(frozen=True, slots=True)
class IdentityKeyRecord:
    """A key of an identity's history, `index` 0 the first; `until` is 0 for the current one.

    `by_old_key`: the key before it agreed; for the first key it means nothing and is False.
    """

    index: int
    key: CardKey
    since: int
    until: int
    by_old_key: bool


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """One change; `position` orders it among all. `kind` is registered, activated, held, released, revoked,
    key-replaced, replacement-started, replacement-cancelled or key-blocked."""

    position: int
    kind: str
    identity: bytes
    time: int
