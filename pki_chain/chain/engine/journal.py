"""The embedded engine's durable record: which transactions were taken in, and which blocks were made of them.

One file, only ever appended to. First record: the genesis. Then transactions, each before it is acknowledged, and
blocks, each before anybody sees it. A record is: mark (4 bytes), kind (1), length of content (4, big endian),
CRC-32 of kind and content (4), content. A record cut short at the very end was never acknowledged and is dropped; any
other damage is an error, because something acknowledged may be lost there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pki_chain.chain.errors import JournalCorruptError
from pki_chain.errors import ConfigurationError, StorageError

MAX_CONTENT_BYTES = 1 << 20
_MARK = b"\xf5TJ1"
_HEAD = struct.Struct(">4sBII")
_GENESIS, _TRANSACTION, _BLOCK = 1, 2, 3
_GENESIS_CONTENT = struct.Struct(">QQQ")
_BLOCK_CONTENT = struct.Struct(">QQ32sI")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Genesis:
    """What the chain begins with; a replay needs the same."""

    chain_id: int
    timestamp: int
    gas_limit: int

    def encode(self) -> bytes:
        return _frame(_GENESIS, _GENESIS_CONTENT.pack(self.chain_id, self.timestamp, self.gas_limit))


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """A signed transaction, as it was sent."""

    raw: bytes

    def encode(self) -> bytes:
        return _frame(_TRANSACTION, self.raw)


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A block: its number, time, hash, and the hashes of its transactions in their order."""

    number: int
    timestamp: int
    hash: bytes
    transactions: tuple[bytes, ...]

    def encode(self) -> bytes:
        head = _BLOCK_CONTENT.pack(self.number, self.timestamp, self.hash, len(self.transactions))
        return _frame(_BLOCK, head + b"".join(self.transactions))


Record = TransactionRecord | BlockRecord


class Journal:
    """The open journal; safe for threads. No second process can open it meanwhile."""

    def __init__(self, path: Path, genesis: Genesis) -> None:
        """Open the journal at `path`, or make one with `genesis`, and drop a last record that was cut short.

        Raises `ConfigurationError` when another process has it open, `JournalCorruptError` when it is damaged,
        `StorageError` when it cannot be read or written.
        """
        self._path = path
        self._mutex = threading.Lock()
        self._sync_mutex = threading.Lock()
        self._broken = False
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"Cannot open {path}: {error.strerror}. Choose another place.") from error
        try:
            self._lock()
            self._written = self._recover()
            self._synced = self._written
            if self._written == 0:
                self._append(genesis.encode())
                _sync_directory(path.parent)
            self.genesis = self._read_genesis()
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)  # also where a child that is being started has a copy of the descriptor
        os.close(self._file)

    def append(self, records: Sequence[Record]) -> None:
        """Write records and fsync; several threads share one fsync. Raises `StorageError`: then none is recorded."""
        self._append(b"".join(record.encode() for record in records))

    @property
    def size(self) -> int:
        """Bytes that are on disk."""
        return self._synced

    def records(self) -> Iterator[Record]:
        """All records after the genesis, from the start, as far as they were on disk when this was called."""
        return (record for _, _, record in self.entries())

    def entries(self, start: int = 0) -> Iterator[tuple[int, int, Record]]:
        """Records from a place on (0: the start), each with the places where it begins and ends."""
        end, position = self._synced, start or len(self.genesis.encode())
        while position < end:
            begin = position
            kind, content, position = self._read(begin)
            yield begin, position, self._decode(kind, content, position)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"Another process has the journal {self._path} open. Stop it, or choose another chain.data."
            ) from error

    def _recover(self) -> int:
        """Where the last whole record ends; what was cut short after it is dropped."""
        size, position = os.fstat(self._file).st_size, 0
        while position < size:
            try:
                _, _, position = self._read(position)
            except JournalCorruptError:
                self._require_torn(position, size)
                log.warning("%s: dropping %d bytes cut short at %d", self._path, size - position, position)
                os.ftruncate(self._file, position)
                os.fsync(self._file)
                break
        return position

    def _require_torn(self, position: int, size: int) -> None:
        """Raise unless nothing whole follows `position`, as after a write that did not finish."""
        rest = os.pread(self._file, min(size - position, 2 * MAX_CONTENT_BYTES), position)
        at = rest.find(_MARK, 1)
        whole = False
        while at >= 0 and not whole:
            try:
                self._read(position + at)
                whole = True
            except JournalCorruptError:
                at = rest.find(_MARK, at + 1)
        if whole or size - position > len(rest):
            raise JournalCorruptError(
                f"{self._path} is damaged at byte {position} of {size}, before its end. Restore it from a copy; "
                "what was acknowledged after that place may be lost otherwise."
            )

    def _read(self, position: int) -> tuple[int, bytes, int]:
        """Kind and content of the record at `position`, and where it ends."""
        head = os.pread(self._file, _HEAD.size, position)
        if len(head) == _HEAD.size:
            mark, kind, length, checksum = _HEAD.unpack(head)
            if mark == _MARK and length <= MAX_CONTENT_BYTES:
                content = os.pread(self._file, length, position + _HEAD.size)
                if len(content) == length and zlib.crc32(content, kind) == checksum:
                    return kind, content, position + _HEAD.size + length
        raise JournalCorruptError(f"{self._path} is damaged at byte {position}. Restore it from a copy.")

    def _read_genesis(self) -> Genesis:
        kind, content, _ = self._read(0)
        if kind != _GENESIS or len(content) != _GENESIS_CONTENT.size:
            raise JournalCorruptError(f"{self._path} does not begin as a journal. Choose another chain.data.")
        return Genesis(*_GENESIS_CONTENT.unpack(content))

    def _decode(self, kind: int, content: bytes, end: int) -> Record:
        if kind == _TRANSACTION:
            return TransactionRecord(content)
        if kind == _BLOCK and len(content) >= _BLOCK_CONTENT.size:
            number, timestamp, block_hash, count = _BLOCK_CONTENT.unpack(content[: _BLOCK_CONTENT.size])
            hashes = content[_BLOCK_CONTENT.size :]
            if len(hashes) == 32 * count:
                transactions = tuple(hashes[at : at + 32] for at in range(0, len(hashes), 32))
                return BlockRecord(number, timestamp, block_hash, transactions)
        raise JournalCorruptError(f"{self._path}: the record that ends at byte {end} is of no known form.")

    def _append(self, content: bytes) -> None:
        with self._mutex:
            self._write(content)
            ticket = self._written
        with self._sync_mutex:
            if self._synced >= ticket:
                return
            if self._broken:
                raise self._unusable()
            with self._mutex:
                target = self._written
            try:
                os.fsync(self._file)
            except OSError as error:
                # What a failed fsync left on disk is unknown, and a second one may say "done" without truth.
                self._broken = True
                raise self._unusable(error) from error
            self._synced = target

    def _write(self, content: bytes) -> None:
        if self._broken:
            raise self._unusable()
        done = 0
        try:
            while done < len(content):
                done += os.pwrite(self._file, content[done:], self._written + done)
        except OSError as error:
            try:
                os.ftruncate(self._file, self._written)
            except OSError:
                self._broken = True
            raise StorageError(
                f"Cannot write {self._path}: {error.strerror}. Nothing was acknowledged. Free space."
            ) from error
        self._written += len(content)

    def _unusable(self, error: OSError | None = None) -> StorageError:
        reason = f": {error.strerror}" if error else ""
        return StorageError(f"{self._path} cannot be made durable{reason}. Mend the disk and start again.")


def _frame(kind: int, content: bytes) -> bytes:
    if len(content) > MAX_CONTENT_BYTES:
        raise StorageError(f"A record of {len(content)} bytes is over the journal's limit of {MAX_CONTENT_BYTES}.")
    return _HEAD.pack(_MARK, kind, len(content), zlib.crc32(content, kind)) + content


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
