"""The one writer of a read model: follows the ledger, one transaction a block, and stops at the first contradiction.

The cursor (number and hash of the last block taken in) stands in the same transaction as the rows of that block, so a
process killed at any moment goes on where it was. Every header's parent hash is checked.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Final, Self

from pki_chain import ports
from pki_chain.errors import LedgerUnavailableError, StorageError
from pki_chain.index import schema
from pki_chain.index.change_writer import ChangeWriter
from pki_chain.index.errors import IndexBusyError, IndexFaultError, MissingEventsError
from pki_chain.index.projection import Projection, check_whole, in_order
from pki_chain.ports import Block, LedgerReader, LoggedEvent

BLOCKS_A_REQUEST: Final = 500
"""Blocks whose events are asked for at once; a run of this many without events is one transaction."""


class Indexer:
    """Brings a read model up to the ledger's head.

    Raises `IndexBusyError` when another process writes the same database, `StorageError` when it cannot be used. With
    `anew` what is there, whole or damaged, is thrown away: readers must be closed or closed then.
    """

    def __init__(self, database: Path, reader: LedgerReader, first_block: int, *, anew: bool = False) -> None:
        self._path = database
        self._reader = reader
        self._first_block = first_block
        with self._storage():
            database.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(database)
        try:
            with self._storage():
                if anew:
                    schema.discard(database)
                self._database = schema.open_writer(database)
        except BaseException:
            os.close(self._lock)
            raise
        self._connection = self._database.conn
        self._projection = Projection(self._connection)
        self._change_writer = ChangeWriter(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and let another process write it."""
        self._database.close()
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # also where a child that is being started has a copy of the descriptor
        os.close(self._lock)

    def advance(self, should_stop: Callable[[], bool] = lambda: False) -> Block:
        """Take in everything up to the head, and return the last block taken in.

        `should_stop` is asked between requests, so that a long catch-up can be ended. Returns the ledger's head itself
        while that is before the first block. Raises `IndexFaultError` on a contradiction, `LedgerUnavailableError`,
        and `StorageError` when the disk is full; what was taken in before stays.
        """
        with self._storage():
            return self._advance(should_stop)

    def _advance(self, should_stop: Callable[[], bool]) -> Block:
        cursor = self._cursor()
        head = self._reader.head()
        if cursor is not None and head.number <= cursor.number:
            return self._compare(cursor, head)
        first = self._first_block if cursor is None else cursor.number + 1
        while first <= head.number and not should_stop():
            last = min(first + BLOCKS_A_REQUEST - 1, head.number)
            cursor = self._take(cursor, first, last, head)
            first = last + 1
        return head if cursor is None else cursor

    def _cursor(self) -> Block | None:
        row = self._connection.execute("SELECT number, hash, parent_hash, time, fault FROM head").fetchone()
        if row is None:
            return None
        if row[4]:
            raise IndexFaultError(f"The read model {self._path.name} is at odds with the ledger: {row[4]}. {_REMEDY}")
        return Block(*row[:4])

    def _compare(self, cursor: Block, head: Block) -> Block:
        """The head is not new: it must be a block that we know. An endpoint that lags behind is no fault."""
        stored = cursor
        if head.number < cursor.number:
            row = self._connection.execute(
                "SELECT number, hash, parent_hash, time FROM blocks WHERE number = ?", (head.number,)
            ).fetchone()
            if row is None:
                return cursor
            stored = Block(*row)
        if stored.hash != head.hash:
            raise self._fault(f"block {head.number} was {stored.hash.hex()} and is now {head.hash.hex()}")
        return cursor

    def _take(self, cursor: Block | None, first: int, last: int, head: Block) -> Block:
        headers = self._headers(first, last, head)
        before = cursor
        for number, block in zip(range(first, last + 1), headers, strict=True):
            self._check_link(before, block, number)
            before = block
        events = self._reader.events(first, last, headers[-1].hash)
        numbers = [event.block_number for event in events]
        if numbers != sorted(numbers) or any(not first <= number <= last for number in numbers):
            raise self._fault(f"events of blocks {first} to {last} came out of order or from other blocks")
        by_block = {number: list(group) for number, group in groupby(events, key=lambda event: event.block_number)}
        stored = cursor
        for number, block in zip(range(first, last + 1), headers, strict=True):
            since = 0 if cursor is None else cursor.time
            cursor = block
            if number in by_block or self._change_writer.has_due(since, block.time):
                self._store(since, block, by_block.get(number, ()))
                stored = block
        if cursor is None:  # not reached: first <= last
            raise self._fault(f"no block between {first} and {last}")
        if stored is not cursor:
            self._store(cursor.time, cursor, ())
        return cursor

    def _headers(self, first: int, last: int, head: Block) -> list[Block]:
        """Headers of these blocks; the head's own is known, so that following it block by block asks for no other."""
        known = [head] if last == head.number else []
        return [*(self._reader.blocks(first, last - len(known)) if first <= last - len(known) else ()), *known]

    def _check_link(self, parent: Block | None, block: Block, number: int) -> None:
        if block.number != number:
            raise self._fault(f"asked for block {number}, the ledger gave {block.number}")
        if parent is not None and block.parent_hash != parent.hash:
            raise self._fault(
                f"block {number} follows {block.parent_hash.hex()}, but block {parent.number} was {parent.hash.hex()}"
            )

    def _store(self, since: int, block: Block, events: Sequence[LoggedEvent]) -> None:
        try:
            check_whole(events)
        except MissingEventsError as error:
            # Nothing of it was taken in, so nothing is wrong yet: the same or another endpoint may say it whole.
            raise LedgerUnavailableError(f"An endpoint kept back events of block {block.number}: {error}.") from error
        try:
            with self._database.atomic():
                for event in in_order(events):
                    self._check_sequence(event)
                    self._projection.apply(event, block)
                changes = self._change_writer.write(since, block, events)
                if events or changes:
                    self._connection.execute(
                        "INSERT INTO blocks (number, hash, parent_hash, time) VALUES (?, ?, ?, ?)",
                        (block.number, block.hash, block.parent_hash, block.time),
                    )
                self._connection.execute(
                    "INSERT OR REPLACE INTO head (id, number, hash, parent_hash, time, fault)"
                    " VALUES (1, ?, ?, ?, ?, '')",
                    (block.number, block.hash, block.parent_hash, block.time),
                )
        except MissingEventsError as error:
            raise self._fault(f"block {block.number}: {error}") from error

    def _check_sequence(self, event: LoggedEvent) -> None:
        """Lots and batches are numbered without gaps: a gap means that an endpoint kept events back."""
        table, number = "", 0
        match event.content:
            case ports.BatchSubmitted(batch=number):
                table = "batches"
            case ports.LotOpened(lot=number):
                table = "lots"
            case _:
                return
        (greatest,) = self._connection.execute(
            f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608 - one of two names above
        ).fetchone()
        if number != greatest + 1:
            raise MissingEventsError(f"{table}: {number} came after {greatest}")

    def _fault(self, text: str) -> IndexFaultError:
        """Put the contradiction on record, so that readers too stop answering."""
        with suppress(sqlite3.Error), self._database.atomic():  # the caller hears of it in any case
            self._connection.execute(
                "INSERT INTO head (id, number, hash, parent_hash, time, fault) VALUES (1, 0, x'', x'', 0, ?)"
                " ON CONFLICT (id) DO UPDATE SET fault = excluded.fault",
                (text,),
            )
        return IndexFaultError(f"The read model {self._path.name} is at odds with the ledger: {text}. {_REMEDY}")

    @contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"Cannot write the read model {self._path.name}: {error}. Free space on its disk; it goes on by itself."
            ) from error
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"Cannot use the read model {self._path.name}: {error}. Rebuild it: everything in it is on the ledger."
            ) from error


_REMEDY: Final = "Check which ledger the endpoints serve, then rebuild the read model."


def _lock(database: Path) -> int:
    path = database.with_name(database.name + ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise IndexBusyError(
            f"Another process writes the read model {database.name}. Stop it first, or give this one its own data"
            " directory."
        ) from error
    return descriptor
