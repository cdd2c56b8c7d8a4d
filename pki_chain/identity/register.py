"""The operator's own record of ids that it prepared, and of orders on their way: durable, one writer.

One SQLite database with synchronous FULL. A signed order is stored before it is sent, so that after a crash the very
same bytes go out again. Who a person is does not stand here either: that is the subscriber base's.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pki_chain.errors import ConfigurationError, StorageError
from pki_chain.ports import Attestation, CardKey, CardProof, PossessionPurpose

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS identities (
    identity BLOB PRIMARY KEY,
    batch TEXT NOT NULL,
    purpose INTEGER NOT NULL,
    register_by INTEGER NOT NULL,
    activate_by INTEGER NOT NULL,
    state TEXT NOT NULL,
    explanation TEXT NOT NULL DEFAULT '',
    x BLOB, y BLOB, attestation INTEGER, card_enforced INTEGER, emulator INTEGER,
    register_r BLOB, register_s BLOB, activate_r BLOB, activate_s BLOB,
    sent_with INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS identities_by_state ON identities (state);
CREATE INDEX IF NOT EXISTS identities_by_order ON identities (sent_with);
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    deadline INTEGER NOT NULL,
    first_block INTEGER NOT NULL,
    over INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS orders_open ON orders (over);
CREATE TABLE IF NOT EXISTS words (
    identity BLOB NOT NULL,
    x BLOB NOT NULL,
    deadline INTEGER NOT NULL,
    PRIMARY KEY (identity, x)
) STRICT;
"""

_KEY: Final = "x = ?, y = ?, attestation = ?, card_enforced = ?, emulator = ?"
_REGISTER: Final = int(PossessionPurpose.REGISTER)
_COLUMNS: Final = (
    "identity, batch, purpose, register_by, activate_by, state, explanation, x, y, attestation, card_enforced,"
    " emulator, register_r, register_s, activate_r, activate_s"
)


class PreparedState(StrEnum):
    """Where an id stands with this operator; what the ledger says is asked there."""

    PREPARED = "prepared"
    TO_REGISTER = "to-register"
    REGISTERING = "registering"
    REGISTERED = "registered"
    REFUSED = "refused"
    TO_ACTIVATE = "to-activate"
    ACTIVATING = "activating"
    ACTIVE = "active"


MOVING: Final = frozenset(
    {PreparedState.TO_REGISTER, PreparedState.REGISTERING, PreparedState.TO_ACTIVATE, PreparedState.ACTIVATING}
)
"""States that an order is due for, or on its way."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An id that this operator prepared; `key` and the proofs once they came. `purpose` as in `PossessionPurpose`."""

    identity: bytes
    batch: str
    purpose: int
    register_by: int
    activate_by: int
    state: PreparedState
    explanation: str
    key: CardKey | None
    registration: CardProof | None
    activation: CardProof | None


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order as it is posted; `first_block`: the ledger's head before it was signed."""

    id: int
    kind: str
    content: Mapping[str, Any]
    deadline: int
    first_block: int
    identities: tuple[bytes, ...]


class IdentityRegister:
    """One operator's record; holds a lock on its directory until `close`. Raises `StorageError`."""

    def __init__(self, directory: Path) -> None:
        """Open or make it. Raises `ConfigurationError` when another process has it."""
        self._path = directory / "identities.sqlite"
        self._lock = _lock(directory)
        try:
            self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=30)
            self._path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            os.close(self._lock)
            raise self._storage_error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and let another process have it."""
        self._connection.close()
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # also where a child that is being started has a copy of the descriptor
        os.close(self._lock)

    def prepare(
        self, identities: Sequence[bytes], batch: str, purpose: int, *, register_by: int, activate_by: int
    ) -> None:
        """Put ids on record; one that a new card is made for begins anew."""
        rows = [(each, batch, purpose, register_by, activate_by, PreparedState.PREPARED) for each in identities]
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO identities (identity, batch, purpose, register_by, activate_by, state)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )

    def find(self, identity: bytes) -> Prepared | None:
        """What is on record of an id."""
        found = self._select("WHERE identity = ?", (identity,))
        return found[0] if found else None

    def in_state(self, state: PreparedState, limit: int) -> list[Prepared]:
        """Ids that stand there, at most so many."""
        return self._select("WHERE state = ? ORDER BY identity LIMIT ?", (state, limit))

    def on_their_way(self) -> set[bytes]:
        """Ids that wait for an order, or for its outcome."""
        marks = ", ".join("?" for _ in MOVING)
        rows = self._connection.execute(
            f"SELECT identity FROM identities WHERE state IN ({marks})",  # noqa: S608 - marks only
            tuple(MOVING),
        )
        return {row[0] for row in rows}

    def explained(self) -> list[Prepared]:
        """Ids that are not where they were meant to come to, with the reason."""
        return self._select("WHERE explanation <> '' ORDER BY identity", ())

    def counts(self) -> dict[PreparedState, int]:
        """How many ids stand where; states without any are left out."""
        rows = self._connection.execute("SELECT state, count(*) FROM identities GROUP BY state")
        return {PreparedState(state): count for state, count in rows}

    def take_key(self, identity: bytes, key: CardKey, proof: CardProof) -> None:
        """A card's key, to be registered."""
        self._update(
            identity,
            f"state = ?, explanation = '', {_KEY}, register_r = ?, register_s = ?",
            PreparedState.TO_REGISTER,
            *_key_values(key),
            proof.r,
            proof.s,
        )

    def take_activation(self, identity: bytes, proof: CardProof) -> None:
        """A card's proof that its holder has it, to be put on the ledger."""
        self._update(
            identity,
            "state = ?, explanation = '', activate_r = ?, activate_s = ?",
            PreparedState.TO_ACTIVATE,
            proof.r,
            proof.s,
        )

    def keep_key(self, identity: bytes, key: CardKey) -> None:
        """A new card's key whose replacement has begun on the ledger."""
        self._update(identity, _KEY, *_key_values(key))

    def mark_replaced(self, identity: bytes, key: CardKey) -> None:
        """The ledger has the new card's key; its holder has to activate it."""
        assignments = f"state = ?, purpose = ?, explanation = '', {_KEY}"
        self._update(identity, assignments, PreparedState.REGISTERED, _REGISTER, *_key_values(key))

    def store_word(self, identity: bytes, x: bytes, deadline: int) -> None:
        """What an old card was asked to agree to: the new key's x coordinate, and how long its word is good."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO words VALUES (?, ?, ?)", (identity, x, deadline))

    def word(self, identity: bytes, x: bytes) -> int | None:
        """The deadline of the word that was asked for last, None where none was."""
        row = self._connection.execute("SELECT deadline FROM words WHERE identity = ? AND x = ?", (identity, x))
        found = row.fetchone()
        return None if found is None else int(found[0])

    def store_order(
        self, kind: str, content: Mapping[str, Any], identities: Sequence[bytes], *, deadline: int, first_block: int
    ) -> None:
        """Store a signed order; its ids are on their way from then on, until it is over."""
        state = PreparedState.REGISTERING if kind == "register" else PreparedState.ACTIVATING
        with self._transaction() as connection:
            order = connection.execute(
                "INSERT INTO orders (kind, content, deadline, first_block) VALUES (?, ?, ?, ?)",
                (kind, json.dumps(content), deadline, first_block),
            ).lastrowid
            connection.executemany(
                "UPDATE identities SET state = ?, sent_with = ? WHERE identity = ?",
                [(state, order, identity) for identity in identities],
            )

    def open_orders(self) -> list[SignedOrder]:
        """Orders that are not over, oldest first."""
        rows = self._connection.execute(
            "SELECT id, kind, content, deadline, first_block FROM orders WHERE over = 0 ORDER BY id"
        ).fetchall()
        return [
            SignedOrder(
                number,
                kind,
                json.loads(content),
                deadline,
                first_block,
                tuple(
                    row[0]
                    for row in self._connection.execute(
                        "SELECT identity FROM identities WHERE sent_with = ? ORDER BY identity", (number,)
                    )
                ),
            )
            for number, kind, content, deadline, first_block in rows
        ]

    def settle(self, order: SignedOrder, outcomes: Mapping[bytes, tuple[PreparedState, str]]) -> None:
        """The order is over; its ids stand where `outcomes` says, with an explanation."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE identities SET state = ?, explanation = ?, sent_with = NULL"
                " WHERE identity = ? AND sent_with = ?",
                [(state, text, identity, order.id) for identity, (state, text) in outcomes.items()],
            )
            connection.execute("UPDATE orders SET over = 1 WHERE id = ?", (order.id,))

    def _update(self, identity: bytes, assignments: str, *values: object) -> None:
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE identities SET {assignments} WHERE identity = ?",  # noqa: S608 - our own texts
                (*values, identity),
            )

    def _select(self, condition: str, values: tuple[object, ...]) -> list[Prepared]:
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM identities {condition}", values)  # noqa: S608
        return [_prepared(row) for row in rows]

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
            f"cannot write the operator's record {self._path}: {error}; nothing was taken in by this step. "
            "Free space or mend the disk, then run the same command again"
        )


def _prepared(row: Sequence[Any]) -> Prepared:
    key = None if row[7] is None else CardKey(row[7], row[8], Attestation(row[9]), bool(row[10]), bool(row[11]))
    return Prepared(
        identity=row[0],
        batch=row[1],
        purpose=row[2],
        register_by=row[3],
        activate_by=row[4],
        state=PreparedState(row[5]),
        explanation=row[6],
        key=key,
        registration=None if row[12] is None else CardProof(row[3], row[12], row[13]),
        activation=None if row[14] is None else CardProof(row[4], row[14], row[15]),
    )


def _key_values(key: CardKey) -> tuple[object, ...]:
    return key.x, key.y, int(key.attestation), int(key.card_enforced), int(key.emulator)


def _lock(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot use the directory {directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(
            f"another process uses the operator's record in {directory}: wait for it or stop it first"
        ) from error
    return descriptor
