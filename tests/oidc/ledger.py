"""An identity registry in memory: what the provider's port asks, and what tests change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import ec

from identity_oidc.errors import LedgerStaleError
from identity_oidc.ports import (
    Attestation,
    ChangePage,
    IdentityChange,
    IdentityId,
    IdentityState,
    LedgerIdentity,
)


def coordinates(key: ec.EllipticCurvePublicKey) -> bytes:
    numbers = key.public_numbers()
    return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


@dataclass
class LedgerInMemory:
    """Every change is a block. `is_away` is a ledger that cannot be asked; `age_s` how old its head is."""

    entries: dict[bytes, LedgerIdentity] = field(default_factory=dict)
    feed: list[IdentityChange] = field(default_factory=list)
    age_s: float = 0.0
    is_away: bool = False

    def register(self, identity: str, key: ec.EllipticCurvePublicKey, *, is_emulator: bool = False) -> None:
        known = LedgerIdentity(
            identity=IdentityId(bytes.fromhex(identity[2:])),
            public_key=coordinates(key),
            state=IdentityState.ACTIVE,
            attestation=Attestation.PERSONALISER,
            is_card_enforced=True,
            is_emulator=is_emulator,
            block=len(self.feed) + 1,
            age_s=0,
        )
        self._put(known, "registered")

    def change(self, identity: bytes, kind: str, **values: object) -> None:
        self._put(replace(self.entries[identity], block=len(self.feed) + 1, **values), kind)  # type: ignore[arg-type]

    def hold(self, identity: bytes) -> None:
        self.change(identity, "held", state=IdentityState.HELD)

    def identity(self, identity: IdentityId) -> LedgerIdentity | None:
        if self.is_away:
            raise LedgerStaleError("The ledger is away.")
        found = self.entries.get(identity)
        return None if found is None else replace(found, age_s=self.age_s)

    def changes(self, after: str) -> ChangePage:
        if self.is_away:
            raise LedgerStaleError("The ledger is away.")
        return ChangePage(tuple(self.feed[int(after or 0) :]), str(len(self.feed)), self.age_s)

    def _put(self, entry: LedgerIdentity, kind: str) -> None:
        self.entries[entry.identity] = entry
        self.feed.append(IdentityChange(entry.identity, kind))
