"""Writes the change feed: what became of certificates that were published, one row a change, in the ledger's order.

A certificate's state follows from events and from time; a row is written when the state that the feed told last is no
longer true. So every gateway writes the same rows at the same positions, and a rebuild gives them again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from pki_chain import ports
from pki_chain.index.authority_projection import BELOW
from pki_chain.index.queries import FACTS, FACTS_FROM, facts_of
from pki_chain.ports import Block, LoggedEvent, Status
from pki_chain.status.certificate_status import CertificateStatus, derive_status

POSITIONS_A_BLOCK: Final = 1 << 20
"""A position is block number * this + place in the block, so that it is one number that only grows."""

_TOLD: Final = frozenset({Status.VALID, Status.HELD, Status.REVOKED, Status.SUPERSEDED, Status.EXPIRED})
_SELECT: Final = f"SELECT c.id, c.told, {FACTS}{FACTS_FROM}"
_ENDS_SOON: Final = (
    "SELECT id FROM certificates WHERE emergency_until > ? AND emergency_until <= ?"
    " UNION SELECT id FROM certificates WHERE not_after >= ? AND not_after < ?"
)


class ChangeWriter:
    """The writer of one read model. The caller holds the transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def has_due(self, since: int, block_time: int) -> bool:
        """Whether time alone changes a state after a block of time `since`, up to one of `block_time`."""
        values = (since, block_time, since, block_time)
        return self._connection.execute(_ENDS_SOON + " LIMIT 1", values).fetchone() is not None

    def write(self, since: int, block: Block, events: Sequence[LoggedEvent]) -> int:
        """Rows for everything that this block, with its events already applied, and the time since the one before
        changed. Returns how many."""
        place = 0
        for row in self._touched(since, block, events):
            identity, told, facts = row[0], Status(row[1]), facts_of(row[2:])
            status = derive_status(facts, block.time)
            if status.state is told or status.state not in _TOLD:
                continue
            if told is Status.UNKNOWN and status.state is Status.EXPIRED:
                continue  # was never published
            for kind in _kinds(told, status.state):
                self._put(block.number * POSITIONS_A_BLOCK + place, kind, identity, status)
                place += 1
            self._connection.execute("UPDATE certificates SET told = ? WHERE id = ?", (int(status.state), identity))
        return place

    def _put(self, position: int, kind: str, identity: bytes, status: CertificateStatus) -> None:
        self._connection.execute(
            "INSERT INTO changes (position, kind, certificate, reason) VALUES (?, ?, ?, ?)",
            (position, kind, identity, status.reason if kind in {"held", "revoked", "superseded"} else 0),
        )

    def _touched(self, since: int, block: Block, events: Sequence[LoggedEvent]) -> Iterable[tuple[Any, ...]]:
        """Rows of all certificates whose state may have changed, each once, in the ledger's order."""
        rows: dict[bytes, tuple[Any, ...]] = {}
        values = (since, block.time, since, block.time)
        for row in self._connection.execute(
            f"{_SELECT} WHERE c.id IN ({_ENDS_SOON}) ORDER BY c.batch, c.entry",
            values,
        ):
            rows[row[0]] = row
        for statement, value in _questions(events):
            for row in self._connection.execute(f"{_SELECT} WHERE {statement} ORDER BY c.batch, c.entry", (value,)):
                rows.setdefault(row[0], row)
        return rows.values()


def _questions(events: Sequence[LoggedEvent]) -> Iterator[tuple[str, bytes | int]]:
    for event in events:
        match event.content:
            case ports.BatchEndorsed(batch=batch):
                yield "c.batch = ?", batch
            case (
                ports.CertificateHeld(certificate=identity)
                | ports.CertificateReleased(certificate=identity)
                | ports.CertificateRevoked(certificate=identity)
            ):
                yield "c.id = ?", identity
            case ports.KeyBlocked(spki_hash=spki_hash):
                yield "c.spki_sha256 = ?", spki_hash
            case ports.AuthorityWithdrawn(authority=authority):
                yield f"c.authority IN ({BELOW})", authority
            case _:
                pass


def _kinds(told: Status, now: Status) -> tuple[str, ...]:
    """What is told; one that is held before it was published is told as both."""
    if now is Status.VALID:
        return ("released",) if told is Status.HELD else ("published",)
    if now is Status.HELD:
        return ("published", "held") if told is Status.UNKNOWN else ("held",)
    return (now.name.lower(),)
