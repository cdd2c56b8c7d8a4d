"""What a gateway acknowledged: on disk (fsync) before it answers, and until the relayer has seen the end of it.

Several processes use one inbox: the workers put in, the relayer takes on. States: stored, sent (the outbox has the
transaction), done (in a block and succeeded), failed (in a block and refused, or its deadline passed before).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pki_chain.errors import StorageError
from pki_chain.ports import Address, Submission

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS submissions (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    station TEXT NOT NULL,
    profile INTEGER NOT NULL,
    lot INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    deadline INTEGER NOT NULL,
    certificates BLOB NOT NULL,
    signature BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    transaction_hash BLOB,
    failure TEXT NOT NULL DEFAULT '',
    UNIQUE (digest, station, nonce)
) STRICT;
CREATE INDEX IF NOT EXISTS submissions_by_state ON submissions (state);
CREATE INDEX IF NOT EXISTS ended_submissions ON submissions (received_at) WHERE state IN ('done', 'failed');
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    data BLOB NOT NULL,
    gas INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    transaction_hash BLOB,
    failure TEXT NOT NULL DEFAULT '',
    block_number INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS orders_by_state ON orders (state);
CREATE INDEX IF NOT EXISTS ended_orders ON orders (received_at) WHERE state IN ('done', 'failed');
"""


class InboxState(StrEnum):
    """How far something that was acknowledged has come."""

    STORED = "stored"
    SENT = "sent"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StoredSubmission:
    """A submission as it was acknowledged; `transaction_hash` once the relayer has it in its outbox."""

    number: int
    digest: bytes
    submission: Submission
    certificates: tuple[bytes, ...]
    signature: bytes
    received_at: int
    state: InboxState
    transaction_hash: bytes | None
    failure: str

    @property
    def reference(self) -> bytes:
        """Its name in the outbox, which takes each once: 32 bytes."""
        station, nonce = str(self.submission.station).lower().encode(), self.submission.nonce.to_bytes(32, "big")
        return sha256(b"submission" + self.digest + station + nonce + _time(self.received_at)).digest()


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order as a call of a contract. `block_number` is the block that it is in, once there is an outcome.

    `transaction_hash` of one that is stored is that of an earlier attempt, which failed.
    """

    id: str
    kind: str
    target: Address
    data: bytes
    gas: int
    received_at: int
    state: InboxState
    transaction_hash: bytes | None
    failure: str
    block_number: int | None

    @property
    def reference(self) -> bytes:
        """Its name in the outbox, which takes each once, and another one each time it is posted again: 32 bytes."""
        attempt = _time(self.received_at) + (self.transaction_hash or b"")
        return sha256(b"order" + self.id.encode() + attempt).digest()


def order_id(target: Address, data: bytes) -> str:
    """The same order has the same id, at every gateway: 32 hexadecimal digits."""
    return sha256(str(target).lower().encode() + data).hexdigest()[:32]


class Inbox:
    """Safe for threads and processes. Every method raises `StorageError` when the database cannot be used."""

    def __init__(self, database: Path) -> None:
        self._path = database
        self._connections = threading.local()
        with self._storage():
            database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection().executescript(_SCHEMA)

    def put_submission(
        self, digest: bytes, submission: Submission, certificates: Sequence[bytes], signature: bytes, now: int
    ) -> StoredSubmission:
        """Store a submission, or find it stored; when this returns it is on disk."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO submissions (digest, station, profile, lot, nonce, deadline, certificates, signature,"
                " received_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'stored') ON CONFLICT DO NOTHING",
                (
                    digest,
                    str(submission.station),
                    submission.profile,
                    submission.lot,
                    submission.nonce.to_bytes(32, "big"),
                    submission.deadline,
                    _pack(certificates),
                    signature,
                    now,
                ),
            )
        stored = self.submission(digest, submission)
        if stored is None:
            raise StorageError(f"{self._path.name} lost what was just stored. Mend its disk.")
        return stored

    def submission(self, digest: bytes, submission: Submission | None = None) -> StoredSubmission | None:
        """The submission with this digest (the latest), or that one with the same station and nonce."""
        if submission is None:
            row = self._one(f"{_SUBMISSION} WHERE digest = ? ORDER BY id DESC LIMIT 1", (digest,))
        else:
            row = self._one(
                f"{_SUBMISSION} WHERE digest = ? AND station = ? COLLATE NOCASE AND nonce = ?",
                (digest, str(submission.station), submission.nonce.to_bytes(32, "big")),
            )
        return None if row is None else _submission(row)

    def put_order(self, kind: str, target: Address, data: bytes, gas: int, now: int) -> StoredOrder:
        """Store an order, or find it stored; one that failed is tried again."""
        identifier = order_id(target, data)
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO orders (id, kind, target, data, gas, received_at, state)"
                " VALUES (?, ?, ?, ?, ?, ?, 'stored')"
                " ON CONFLICT (id) DO UPDATE SET state = 'stored', failure = '', block_number = NULL"
                " WHERE orders.state = 'failed'",
                (identifier, kind, str(target), data, gas, now),
            )
        stored = self.order(identifier)
        if stored is None:
            raise StorageError(f"{self._path.name} lost what was just stored. Mend its disk.")
        return stored

    def order(self, identifier: str) -> StoredOrder | None:
        """The order with this id."""
        row = self._one(f"{_ORDER} WHERE id = ?", (identifier,))
        return None if row is None else _order(row)

    def submissions_in(self, state: InboxState, limit: int = 100) -> tuple[StoredSubmission, ...]:
        """Submissions in this state, the oldest first."""
        rows = self._all(f"{_SUBMISSION} WHERE state = ? ORDER BY id LIMIT ?", (state.value, limit))
        return tuple(_submission(row) for row in rows)

    def orders_in(self, state: InboxState, limit: int = 100) -> tuple[StoredOrder, ...]:
        """Orders in this state, the oldest first."""
        return tuple(
            _order(row) for row in self._all(f"{_ORDER} WHERE state = ? ORDER BY number LIMIT ?", (state, limit))
        )

    def sent_submissions(self) -> tuple[tuple[int, bytes], ...]:
        """Number and transaction of each submission that is sent, the oldest first; without its many bytes."""
        rows = self._all("SELECT id, transaction_hash FROM submissions WHERE state = 'sent' ORDER BY id LIMIT 1000")
        return tuple((row[0], row[1]) for row in rows)

    def mark_submission(
        self, number: int, state: InboxState, *, transaction_hash: bytes | None = None, failure: str = ""
    ) -> None:
        """Record how far a submission has come."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE submissions SET state = ?, transaction_hash = coalesce(?, transaction_hash), failure = ?"
                " WHERE id = ?",
                (state.value, transaction_hash, failure, number),
            )

    def mark_order(
        self,
        identifier: str,
        state: InboxState,
        *,
        transaction_hash: bytes | None = None,
        failure: str = "",
        block_number: int | None = None,
    ) -> None:
        """Record how far an order has come."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE orders SET state = ?, transaction_hash = coalesce(?, transaction_hash), failure = ?,"
                " block_number = ? WHERE id = ?",
                (state.value, transaction_hash, failure, block_number, identifier),
            )

    def forget(self, before: int) -> int:
        """Drop what came to an end and was received before this time; returns how much that was."""
        with self._transaction() as connection:
            return sum(
                connection.execute(
                    f"DELETE FROM {table} WHERE state IN ('done', 'failed') AND received_at < ?",  # noqa: S608 - ours
                    (before,),
                ).rowcount
                for table in ("submissions", "orders")
            )

    def counts(self) -> dict[tuple[str, str], int]:
        """How many of (submissions, orders) are in each state."""
        rows = self._all(
            "SELECT 'submissions', state, count(*) FROM submissions GROUP BY state"
            " UNION ALL SELECT 'orders', state, count(*) FROM orders GROUP BY state"
        )
        return {(table, state): count for table, state, count in rows}

    def close(self) -> None:
        """Close this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._connections, "connection", None)
        if connection is not None:
            connection.close()
            self._connections.connection = None

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._connections, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
            self._path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._connections.connection = connection
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._storage():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _one(self, statement: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        with self._storage():
            row: tuple[Any, ...] | None = self._connection().execute(statement, values).fetchone()
        return row

    def _all(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._storage():
            return self._connection().execute(statement, values).fetchall()

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                "The gateway cannot store anything now, and nothing was acknowledged. Try another gateway, or this one"
                " after its disk has space again.",
                detail=f"{self._path.name}: {error}",
            ) from error


_SUBMISSION: Final = (
    "SELECT id, digest, station, profile, lot, nonce, deadline, certificates, signature, received_at, state,"
    " transaction_hash, failure FROM submissions"
)
_ORDER: Final = (
    "SELECT id, kind, target, data, gas, received_at, state, transaction_hash, failure, block_number FROM orders"
)


def _submission(row: tuple[Any, ...]) -> StoredSubmission:
    return StoredSubmission(
        number=row[0],
        digest=row[1],
        submission=Submission(Address(row[2]), row[3], row[4], int.from_bytes(row[5], "big"), row[6]),
        certificates=_unpack(row[7]),
        signature=row[8],
        received_at=row[9],
        state=InboxState(row[10]),
        transaction_hash=row[11],
        failure=row[12],
    )


def _order(row: tuple[Any, ...]) -> StoredOrder:
    return StoredOrder(
        row[0],
        row[1],
        Address(row[2]),
        row[3],
        row[4],
        row[5],
        InboxState(row[6]),
        row[7],
        row[8],
        row[9],
    )


def _time(seconds: int) -> bytes:
    return seconds.to_bytes(8, "big")


def _pack(certificates: Sequence[bytes]) -> bytes:
    """Each certificate behind its length in three octets."""
    return b"".join(len(der).to_bytes(3, "big") + der for der in certificates)


def _unpack(packed: bytes) -> tuple[bytes, ...]:
    found, at = [], 0
    while at < len(packed):
        end = at + 3 + int.from_bytes(packed[at : at + 3], "big")
        found.append(packed[at + 3 : end])
        at = end
    return tuple(found)
