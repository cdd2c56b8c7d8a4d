"""One account's durable single writer of transactions.

A transaction gets its nonce and signature and is on disk (fsync) before anything is sent. `pump` sends those bytes,
and the same bytes again, to whichever endpoint answers, until the ledger has a receipt for their hash. Nonces are
counted here, from where the chain stood when the database was made: an account with an outbox has no other writer,
which a lock beside the key sees to.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import rlp  # type: ignore[import-untyped]  # the library has no types

from pki_chain.chain.calls import TRANSACTION_GAS
from pki_chain.chain.connection import Connection, Json, call_object, parse_bytes, parse_quantity
from pki_chain.chain.errors import RpcError
from pki_chain.chain.signer import Signer
from pki_chain.errors import ConfigurationError, InputError, LedgerUnavailableError, RefusedError, StorageError
from pki_chain.ports import Address, Receipt

WINDOW = 64
"""Transactions that are sent and have no receipt: a node's pool takes a limited number of one account."""

RESEND_S = 5.0
"""After this time without a receipt the same bytes are sent again."""

GIVE_UP_S = 30.0
"""How long a transaction may have neither receipt nor nonce before it is given up."""

MAX_TRANSACTION_BYTES = 128 * 1024
"""Limit of transaction pools."""

_REQUEST_BYTES = 1 << 20
_BUSY_TIMEOUT_S = 5.0
_KNOWN = ("already known", "already imported", "known transaction", "alreadyknown")
_NONCE_USED = ("nonce too low", "nonce_too_low", "nonce is too low")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS owner (
    account TEXT NOT NULL,
    chain_id INTEGER NOT NULL,
    first_nonce INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS transactions (
    nonce INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    raw BLOB NOT NULL,
    block_number INTEGER,
    succeeded INTEGER,
    revert TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS pending ON transactions (nonce) WHERE block_number IS NULL;
CREATE TABLE IF NOT EXISTS named (
    reference BLOB PRIMARY KEY,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""

log = logging.getLogger(__name__)


class Outbox:
    """Implements `pki_chain.ports.TransactionWriter`. Holds locks from construction to `close`. Safe for threads.

    Raises `ConfigurationError` when another process writes with this key or database, or when the database belongs to
    another key or chain; `StorageError` when the database cannot be written.
    """

    def __init__(self, database: Path, signer: Signer, connection: Connection, chain_id: int) -> None:
        self._path = database
        self._signer = signer
        self._connection = connection
        self._chain_id = chain_id
        self._mutex = threading.RLock()
        self._pumping = threading.Lock()
        self._sent_at: dict[bytes, float] = {}
        self._suspected: dict[bytes, float] = {}
        self._locks: list[int] = []
        self._next_nonce: int | None = None
        with self._storage():
            database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            for path in (database, signer.path):
                if path is not None:
                    self._locks.append(self._lock(path.with_name(path.name + ".writer")))
            self._database = self._open()
        except BaseException:
            self._unlock()
            raise

    @property
    def address(self) -> Address:
        return self._signer.address

    def enqueue(self, to: Address, data: bytes, *, gas: int, reference: bytes = b"") -> bytes:
        """Give a transaction a nonce, sign it, store it (fsync), and return its hash (32 bytes).

        With a `reference` that was given before nothing is made: the answer is the hash of the transaction that it was
        given with, whatever became of it. So a caller that was stopped before it noted the hash asks again and doubles
        nothing. Raises `StorageError` when it is not stored; `InputError` when no ledger would take it;
        `LedgerUnavailableError` only before the account's first transaction, whose nonce the ledger must tell.
        """
        with self._mutex:
            if reference and (known := self._named(reference)) is not None:
                return known
            nonce = self._next_nonce if self._next_nonce is not None else self._begin()
            self._next_nonce = nonce
            raw, digest = self._signer.sign_transaction(to, data, nonce=nonce, gas=gas, chain_id=self._chain_id)
            if len(raw) > MAX_TRANSACTION_BYTES or gas > TRANSACTION_GAS:
                raise InputError(
                    f"A transaction of {len(raw)} bytes and {gas} gas is over the ledger's limits of "
                    f"{MAX_TRANSACTION_BYTES} and {TRANSACTION_GAS}. Split it."
                )
            with self._storage(), self._database:
                self._database.execute(
                    "INSERT INTO transactions (nonce, hash, raw) VALUES (?, ?, ?)", (nonce, digest, raw)
                )
                if reference:
                    self._database.execute("INSERT INTO named VALUES (?, ?)", (reference, digest))
            self._next_nonce = nonce + 1
        return digest

    def pump(self) -> None:
        """Send what is unsent, re-send what is unseen, and collect receipts. Idempotent; called in a loop.

        Raises `LedgerUnavailableError` when no endpoint answers; nothing is lost then.
        """
        with self._pumping:
            waiting = self._waiting()
            if not waiting:
                return
            seen = self._collect([digest for digest in waiting if digest in self._sent_at])
            due = [digest for digest in waiting if digest not in seen and self._is_due(digest)]
            used = self._send(due)
            seen |= self._collect(used)
            self._give_up([digest for digest in used if digest not in seen])

    def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """The outcome, or None while it is pending. Raises `StorageError`."""
        with self._mutex, self._storage():
            row = self._database.execute(
                "SELECT block_number, succeeded, revert FROM transactions WHERE hash = ?", (transaction_hash,)
            ).fetchone()
        if row is None or row[0] is None:
            return None
        return Receipt(transaction_hash, block_number=row[0], succeeded=bool(row[1]), revert=row[2])

    def pending(self) -> int:
        """How many transactions have no outcome yet."""
        with self._mutex, self._storage():
            row = self._database.execute("SELECT count(*) FROM transactions WHERE block_number IS NULL").fetchone()
        return int(row[0])

    def close(self) -> None:
        with self._pumping, self._mutex:
            self._database.close()
            self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Storage.

    def _open(self) -> sqlite3.Connection:
        with self._storage():
            database = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level="IMMEDIATE", check_same_thread=False
            )
        try:
            with self._storage():
                self._path.chmod(0o600)
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.executescript(_SCHEMA)
                self._next_nonce = self._resume(database)
        except BaseException:
            database.close()
            raise
        return database

    def _resume(self, database: sqlite3.Connection) -> int | None:
        """The next nonce as the database has it, None for a new one. Raises `ConfigurationError` for another's."""
        owner = database.execute("SELECT account, chain_id, first_nonce FROM owner").fetchone()
        if owner is None:
            return None
        if owner[:2] != (self.address, self._chain_id):
            raise ConfigurationError(
                f"{self._path} belongs to account {owner[0]} on chain {owner[1]}, not to {self.address} on chain "
                f"{self._chain_id}. Choose another data directory."
            )
        last = database.execute("SELECT max(nonce) FROM transactions").fetchone()[0]
        return int(owner[2] if last is None else last + 1)

    def _begin(self) -> int:
        """The account's first nonce here, as the chain tells it, recorded."""
        count = self._connection.request("eth_getTransactionCount", [self.address, "pending"])
        nonce = parse_quantity(count)
        with self._storage(), self._database:
            self._database.execute("INSERT INTO owner VALUES (?, ?, ?)", (self.address, self._chain_id, nonce))
        return nonce

    def _named(self, reference: bytes) -> bytes | None:
        with self._storage():
            row = self._database.execute("SELECT hash FROM named WHERE reference = ?", (reference,)).fetchone()
        return None if row is None else bytes(row[0])

    def _waiting(self) -> dict[bytes, bytes]:
        """Raw bytes by hash of the first transactions that have no outcome, in the order of their nonces."""
        with self._mutex, self._storage():
            return dict(
                self._database.execute(
                    "SELECT hash, raw FROM transactions WHERE block_number IS NULL ORDER BY nonce LIMIT ?", (WINDOW,)
                ).fetchall()
            )

    def _finish(self, outcomes: Sequence[Receipt]) -> None:
        """Record outcomes; the bytes that were kept for sending again are let go."""
        with self._mutex, self._storage(), self._database:
            self._database.executemany(
                "UPDATE transactions SET block_number = ?, succeeded = ?, revert = ?, raw = x'' WHERE hash = ?",
                [(each.block_number, each.succeeded, each.revert, each.transaction_hash) for each in outcomes],
            )
        for each in outcomes:
            self._sent_at.pop(each.transaction_hash, None)
            self._suspected.pop(each.transaction_hash, None)

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"Cannot use {self._path}: {error}. Nothing was acknowledged. Free space or mend the disk."
            ) from error

    # Sending.

    def _is_due(self, digest: bytes) -> bool:
        sent_at = self._sent_at.get(digest)
        return sent_at is None or time.monotonic() - sent_at >= RESEND_S

    def _send(self, due: Sequence[bytes]) -> list[bytes]:
        """Send these; returns those whose nonce the ledger calls used."""
        waiting = self._waiting()
        used: list[bytes] = []
        for part in _parts([(digest, waiting[digest]) for digest in due if digest in waiting]):
            answers = self._connection.batch([("eth_sendRawTransaction", ["0x" + raw.hex()]) for _, raw in part])
            for (digest, _), answer in zip(part, answers, strict=True):
                if isinstance(answer, RpcError):
                    text = f"{answer} {answer.data}".lower()
                    if any(each in text for each in _NONCE_USED):
                        used.append(digest)
                        continue
                    if not any(each in text for each in _KNOWN):
                        # Not taken now (pool full, a node's own limits): it stays first in line and is sent again.
                        log.warning("transaction 0x%s is not taken: %s", digest.hex(), answer)
                self._sent_at[digest] = time.monotonic()
        return used

    def _collect(self, digests: Sequence[bytes]) -> set[bytes]:
        """Record the outcome of those that are in a block; returns which."""
        if not digests:
            return set()
        answers = self._connection.batch([("eth_getTransactionReceipt", ["0x" + each.hex()]) for each in digests])
        outcomes = [
            self._outcome(digest, answer)
            for digest, answer in zip(digests, answers, strict=True)
            if isinstance(answer, dict) and answer.get("blockNumber") is not None
        ]
        if outcomes:
            self._finish(outcomes)
        return {each.transaction_hash for each in outcomes}

    def _outcome(self, digest: bytes, answer: Json) -> Receipt:
        if parse_bytes(answer.get("transactionHash"), 32) != digest:
            raise LedgerUnavailableError("An endpoint answered with the receipt of another transaction.")
        number = parse_quantity(answer["blockNumber"])
        succeeded = parse_quantity(answer.get("status")) == 1
        revert = "" if succeeded else self._reason(digest, number, parse_quantity(answer.get("gasUsed")))
        return Receipt(digest, number, succeeded, revert)

    def _reason(self, digest: bytes, block_number: int, gas_used: int) -> str:
        """Why a transaction failed: run again on the state after its block, which mostly fails for the same reason."""
        with self._mutex, self._storage():
            row = self._database.execute("SELECT raw FROM transactions WHERE hash = ?", (digest,)).fetchone()
        _, _, gas_field, target, _, data, *_ = rlp.decode(row[0])
        gas = int.from_bytes(gas_field)
        if gas_used >= gas:
            return f"The call ran out of its {gas} gas."
        call = call_object(Address("0x" + target.hex()), data, sender=self.address, gas=gas)
        reason = "The contract refused; why can no longer be told."
        for block in (hex(block_number), "latest"):
            try:
                self._connection.request("eth_call", [call, block])
            except RefusedError as error:
                return str(error)
            except RpcError as error:
                reason = str(error)
        return reason

    def _give_up(self, digests: Sequence[bytes]) -> None:
        """Give up those that have no receipt although their nonce is used: another transaction took it.

        That happens when a key was used elsewhere, or a database was restored from an old copy. One endpoint must
        say both, and must still say it after a while, as nodes learn of blocks at different times. To send the call
        again under another nonce is for the caller to decide.
        """
        now = time.monotonic()
        for each in digests:
            self._suspected.setdefault(each, now)
            self._sent_at[each] = now
        overdue = [each for each, since in self._suspected.items() if now - since >= GIVE_UP_S]
        if not overdue:
            return
        count, head, *receipts = self._connection.results(
            [
                ("eth_getTransactionCount", [self.address, "latest"]),
                ("eth_blockNumber", []),
                *(("eth_getTransactionReceipt", ["0x" + each.hex()]) for each in overdue),
            ]
        )
        next_nonce, number = parse_quantity(count), parse_quantity(head)
        nonces = self._nonces()
        lost = [
            each
            for each, receipt in zip(overdue, receipts, strict=True)
            if receipt is None and nonces[each] < next_nonce
        ]
        if lost:
            log.error("account %s: %d transactions lost their nonces to another writer", self.address, len(lost))
            text = "Another transaction of this account took its nonce. Is its key used elsewhere? Send the call again."
            self._finish([Receipt(each, number, succeeded=False, revert=text) for each in lost])
            with self._mutex:
                self._next_nonce = max(self._next_nonce or 0, next_nonce)

    def _nonces(self) -> dict[bytes, int]:
        with self._mutex, self._storage():
            return dict(
                self._database.execute("SELECT hash, nonce FROM transactions WHERE block_number IS NULL").fetchall()
            )

    # Locks.

    def _lock(self, path: Path) -> int:
        with self._storage():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ConfigurationError(
                f"Another process writes with key {self.address} (lock {path}). Stop it, or give each process a key "
                "of its own."
            ) from error
        return descriptor

    def _unlock(self) -> None:
        for descriptor in self._locks:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # also where a child that is being started has a copy of it
            os.close(descriptor)
        self._locks.clear()


def _parts(items: Sequence[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """The items in their order, in parts that one request can carry."""
    part: list[tuple[bytes, bytes]] = []
    size = 0
    for digest, raw in items:
        if part and size + len(raw) > _REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append((digest, raw))
        size += len(raw)
    if part:
        yield part
