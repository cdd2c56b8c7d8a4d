"""Questions about people's identities, answered from the read model. Raises as `ReadModel` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pki_chain.index.change_writer import POSITIONS_A_BLOCK
from pki_chain.index.identity_records import (
    IdentityChange,
    IdentityKeyRecord,
    IdentityRecord,
    ReplacementRecord,
)
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Address, Attestation, CardKey

MAX_CHANGES: Final = 1_000
"""Most changes that one answer has."""

_IDENTITY: Final = (
    "SELECT i.id, i.operator, i.x, i.y, i.attestation, i.card_enforced, i.emulator, i.held, i.revoked, i.reason,"
    " i.counter, i.key_count, i.registered_at, i.key_since, i.activated_at, i.changed_at, k.spki_sha256 IS NOT NULL,"
    " i.next_x, i.next_y, i.next_attestation, i.next_card_enforced, i.next_emulator, i.next_by, i.next_at"
    " FROM identities i LEFT JOIN key_blocks k ON k.spki_sha256 = i.spki_sha256"
)


class Identities:
    """Reads the tables that `IdentityProjection` writes, through a read model."""

    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    def identity(self, identity: bytes) -> IdentityRecord | None:
        """What holds now of the identity with this id (32 bytes)."""
        rows = self._read_model.rows(f"{_IDENTITY} WHERE i.id = ?", (identity,))
        return _identity(rows[0]) if rows else None

    def keys(self, identity: bytes) -> tuple[IdentityKeyRecord, ...]:
        """Every key that this identity ever had, the first first; none for an unknown id."""
        rows = self._read_model.rows(
            "SELECT number, x, y, attestation, card_enforced, emulator, since, until, by_old_key"
            " FROM identity_keys WHERE identity = ? ORDER BY number",
            (identity,),
        )
        return tuple(IdentityKeyRecord(row[0], _key(row[1:6]), row[6], row[7], bool(row[8])) for row in rows)

    def of_key(self, x: bytes) -> bytes | None:
        """The identity that has or had the key with this x coordinate."""
        rows = self._read_model.rows("SELECT identity FROM identity_keys WHERE x = ?", (x,))
        return rows[0][0] if rows else None

    def changes(self, after: int, limit: int = MAX_CHANGES) -> tuple[IdentityChange, ...]:
        """The next changes after a position, in order; 0 begins with the first."""
        rows = self._read_model.rows(
            "SELECT position, kind, identity, time FROM identity_changes WHERE position > ? ORDER BY position LIMIT ?",
            (after, min(limit, MAX_CHANGES)),
        )
        return tuple(IdentityChange(*row) for row in rows)

    def end(self, block: int) -> int:
        """The greatest position that a block can have: everything up to and with it lies at or before."""
        return (block + 1) * POSITIONS_A_BLOCK - 1


def _key(row: Sequence[Any]) -> CardKey:
    return CardKey(row[0], row[1], Attestation(row[2]), bool(row[3]), bool(row[4]))


def _identity(row: Sequence[Any]) -> IdentityRecord:
    waiting = None if row[17] is None else ReplacementRecord(_key(row[17:22]), Address(row[22]), row[23])
    return IdentityRecord(
        id=row[0],
        operator=row[1],
        key=_key(row[2:7]),
        is_held=bool(row[7]),
        is_revoked=bool(row[8]),
        reason=row[9],
        counter=row[10],
        key_count=row[11],
        registered_at=row[12],
        key_since=row[13],
        activated_at=row[14],
        changed_at=row[15],
        is_key_blocked=bool(row[16]),
        replacement=waiting,
    )
