"""The station's durable outbox: every certificate that was taken in, and what became of it.

One SQLite database with synchronous FULL: what a method returned from survives a loss of power. A certificate is taken
in once for each lot. It waits, travels in a signed batch, and ends in a final state; a batch is stored signed before
it is sent, so that after a crash the very same bytes go out again and nothing is ever entered twice.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pki_chain.errors import StorageError
from pki_chain.ports import Address, Submission

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    lot INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    der BLOB NOT NULL,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    reason INTEGER NOT NULL DEFAULT 0,
    explanation TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    batch INTEGER,
    position INTEGER,
    UNIQUE (lot, sha256)
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_state ON entries (state);
CREATE INDEX IF NOT EXISTS entries_by_batch ON entries (batch, position);
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    lot INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    nonce BLOB NOT NULL UNIQUE,
    deadline INTEGER NOT NULL,
    signature BLOB NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS batches_by_state ON batches (state);
CREATE TABLE IF NOT EXISTS station (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    account TEXT NOT NULL,
    nonce_base BLOB NOT NULL
) STRICT;
"""

_ENTRY = "SELECT id, lot, profile, sha256, der, source, state, reason, explanation, tries FROM entries "


class EntryState(StrEnum):
    """Where a certificate stands. The last five are final."""

    WAITING = "waiting"
    SENT = "sent"
    VALID = "valid"
    REJECTED = "rejected"
    REFUSED = "refused"
    LAPSED = "lapsed"
    NOT_SENT = "not-sent"


FINAL_STATES = frozenset(
    {EntryState.VALID, EntryState.REJECTED, EntryState.REFUSED, EntryState.LAPSED, EntryState.NOT_SENT}
)


class BatchState(StrEnum):
    """`SIGNED`: on disk, no gateway has acknowledged it yet. `OVER`: nothing more is to be done for it."""

    SIGNED = "signed"
    ACKNOWLEDGED = "acknowledged"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate. `reason` is a number of reasons.json, 0 for none; `source` says where it came from."""

    id: int
    lot: int
    profile: int
    sha256: bytes
    der: bytes
    source: str
    state: EntryState
    reason: int
    explanation: str
    tries: int


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """A submission as it was signed; `entries` in the order of the batch."""

    id: int
    digest: bytes
    submission: Submission
    signature: bytes
    state: BatchState
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry."""

    state: EntryState
    reason: int = 0
    explanation: str = ""


class StationOutbox:
    """The outbox of one station account; a second process on it is refused by `pki_chain.station.submit`."""

    def __init__(self, path: Path, account: Address) -> None:
        """Open or make the outbox. Raises `StorageError`, also when it belongs to another account."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise self._storage_error(error) from error
        with self._transaction() as connection:
            # Nonces of one outbox count up from a random word: unordered on the ledger, they cost least when adjacent.
            base = secrets.token_bytes(31) + b"\0"
            connection.execute("INSERT OR IGNORE INTO station VALUES (1, ?, ?)", (account, base))
            owner, self._nonce_base = connection.execute("SELECT account, nonce_base FROM station").fetchone()
        if owner != account:
            raise StorageError(
                f"{path} is the outbox of station {owner}, not of {account}: name that account in [station] account, "
                "or another directory in [station] data"
            )

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def add(self, lot: int, profile: int, certificates: Iterable[tuple[str, bytes, Outcome | None]]) -> int:
        """Take in certificates (source, DER, and an outcome where it is settled already); returns how many will be
        sent.

        One that this lot has already is left as it is while it is on its way, or valid, or rejected, which is final;
        one that was not sent, refused or lapsed is tried anew: what was wrong may have been put right.
        """
        rows = [
            (
                lot,
                profile,
                hashlib.sha256(der).digest(),
                der,
                source,
                EntryState.WAITING if outcome is None else outcome.state,
                0 if outcome is None else outcome.reason,
                "" if outcome is None else outcome.explanation,
            )
            for source, der, outcome in certificates
        ]
        with self._transaction() as connection:
            before = connection.total_changes
            connection.executemany(
                "INSERT INTO entries (lot, profile, sha256, der, source, state, reason, explanation) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (lot, sha256) DO UPDATE SET source = excluded.source, "
                "state = excluded.state, reason = excluded.reason, explanation = excluded.explanation, tries = 0, "
                "batch = NULL, position = NULL WHERE entries.state IN ('not-sent', 'refused', 'lapsed')",
                rows,
            )
            return connection.total_changes - before

    def lots_waiting(self) -> list[tuple[int, int]]:
        """(lot, profile) pairs that have certificates waiting for a batch."""
        return [
            (lot, profile)
            for lot, profile in self._connection.execute(
                "SELECT DISTINCT lot, profile FROM entries WHERE state = ? ORDER BY lot, profile", (EntryState.WAITING,)
            )
        ]

    def waiting(self, lot: int, profile: int) -> list[Entry]:
        """Certificates of a lot that wait for a batch: those with fewer tries first, in the order they came in."""
        return self._entries(
            "WHERE state = ? AND lot = ? AND profile = ? ORDER BY tries, id", (EntryState.WAITING, lot, profile)
        )

    def next_nonce(self) -> int:
        """The nonce for the next batch: never given before by this outbox."""
        (count,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM batches").fetchone()
        return (int.from_bytes(self._nonce_base, "big") + int(count)) % (1 << 256)

    def store_batch(self, digest: bytes, submission: Submission, signature: bytes, entries: Sequence[Entry]) -> None:
        """Store a signed batch and its entries in one transaction; from then on it is sent until it is over."""
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO batches (digest, lot, profile, nonce, deadline, signature, state) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    digest,
                    submission.lot,
                    submission.profile,
                    submission.nonce.to_bytes(32, "big"),
                    submission.deadline,
                    signature,
                    BatchState.SIGNED,
                ),
            )
            connection.executemany(
                "UPDATE entries SET state = ?, batch = ?, position = ?, tries = tries + 1 WHERE id = ?",
                [(EntryState.SENT, cursor.lastrowid, position, entry.id) for position, entry in enumerate(entries)],
            )

    def open_batches(self) -> list[SignedBatch]:
        """Batches that are not over, oldest first."""
        found = self._connection.execute(
            "SELECT id, digest, lot, profile, nonce, deadline, signature, state, "
            "(SELECT account FROM station) FROM batches WHERE state <> ? ORDER BY id",
            (BatchState.OVER,),
        ).fetchall()
        return [
            SignedBatch(
                id=identifier,
                digest=digest,
                submission=Submission(Address(account), profile, lot, int.from_bytes(nonce, "big"), deadline),
                signature=signature,
                state=BatchState(state),
                entries=tuple(self._entries("WHERE batch = ? ORDER BY position", (identifier,))),
            )
            for identifier, digest, lot, profile, nonce, deadline, signature, state, account in found
        ]

    def mark_acknowledged(self, batch: SignedBatch) -> None:
        """A gateway has it on disk."""
        with self._transaction() as connection:
            connection.execute("UPDATE batches SET state = ? WHERE id = ?", (BatchState.ACKNOWLEDGED, batch.id))

    def settle(self, batch: SignedBatch, outcomes: Sequence[tuple[Entry, Outcome]], *, over: bool) -> None:
        """Write outcomes of entries of a batch, and in the same transaction whether the batch is over.

        An outcome `WAITING` puts the entry back for a new batch.
        """
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE entries SET state = ?, reason = ?, explanation = ? WHERE id = ? AND batch = ? AND state = ?",
                [
                    (outcome.state, outcome.reason, outcome.explanation, entry.id, batch.id, EntryState.SENT)
                    for entry, outcome in outcomes
                ],
            )
            if over:
                connection.execute("UPDATE batches SET state = ? WHERE id = ?", (BatchState.OVER, batch.id))

    def take_back(self, batch: SignedBatch) -> None:
        """End a batch that the ledger cannot take at once; its entries wait again, and the try does not count.

        One try stays on record: the batch was out in the world and may still reach the ledger by another relayer.
        """
        with self._transaction() as connection:
            connection.execute(
                "UPDATE entries SET state = ?, tries = max(tries - 1, 1) WHERE batch = ? AND state = ?",
                (EntryState.WAITING, batch.id, EntryState.SENT),
            )
            connection.execute("UPDATE batches SET state = ? WHERE id = ?", (BatchState.OVER, batch.id))

    def counts(self) -> dict[EntryState, int]:
        """How many certificates stand where; states without any are left out."""
        found = self._connection.execute("SELECT state, count(*) FROM entries GROUP BY state")
        return {EntryState(state): count for state, count in found}

    def entries(self, lot: int | None = None) -> list[Entry]:
        """All certificates, or those of one lot, in the order they came in."""
        if lot is None:
            return self._entries("ORDER BY id", ())
        return self._entries("WHERE lot = ? ORDER BY id", (lot,))

    def _entries(self, condition: str, values: tuple[object, ...]) -> list[Entry]:
        found = self._connection.execute(
            _ENTRY + condition,
            values,
        )
        return [
            Entry(identifier, lot, profile, sha256, der, source, EntryState(state), reason, explanation, tries)
            for identifier, lot, profile, sha256, der, source, state, reason, explanation, tries in found
        ]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._storage_error(error) from error

    def _storage_error(self, error: Exception) -> StorageError:
        return StorageError(
            f"cannot write the station's outbox {self._path}: {error}; nothing was taken in by this step. "
            "Free space or mend the disk, then run the same command again"
        )
