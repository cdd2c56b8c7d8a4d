"""Bringing a fresh child to where the journal is, and checking that it gets there by the same hashes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from eth_hash.auto import keccak

from pki_chain.chain.engine.child import Child
from pki_chain.chain.engine.journal import BlockRecord, Record
from pki_chain.chain.errors import JournalCorruptError

_CHECK_EVERY = 64
"""A block's hash commits to all before it, so that not each one needs to be asked for."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last block of a child."""

    number: int
    hash: bytes
    time: int

    @classmethod
    def parse(cls, block: dict[str, Any]) -> Self:
        return cls(int(block["number"], 16), bytes.fromhex(block["hash"][2:]), int(block["timestamp"], 16))


def read_block(child: Child) -> dict[str, Any]:
    """The child's last block, with the hashes of its transactions."""
    block: dict[str, Any] = child.request("eth_getBlockByNumber", "latest", False)  # noqa: FBT003  # JSON-RPC's order
    return block


def read_head(child: Child) -> Head:
    return Head.parse(read_block(child))


def replay(child: Child, records: Iterable[Record]) -> tuple[Head, dict[bytes, bytes]]:
    """Make the journal's blocks again.

    Returns the head and, by hash, the raw transactions that are in no block, in the order in which they came.
    Raises `JournalCorruptError` when the blocks come out otherwise than they were recorded.
    """
    waiting: dict[bytes, bytes] = {}
    last: BlockRecord | None = None
    for record in records:
        if not isinstance(record, BlockRecord):
            waiting.setdefault(keccak(record.raw), record.raw)
            continue
        if record.number != (last.number + 1 if last else 1) or any(
            each not in waiting for each in record.transactions
        ):
            raise JournalCorruptError(f"The journal's block {record.number} does not follow from what is before it.")
        if record.transactions:
            child.batch([("eth_sendRawTransaction", ["0x" + waiting.pop(each).hex()]) for each in record.transactions])
        child.request("evm_mine", record.timestamp)
        if record.number % _CHECK_EVERY == 0:
            _check(child, record)
        last = record
    if last is not None:
        _check(child, last)
    return read_head(child), waiting


def _check(child: Child, record: BlockRecord) -> None:
    found = read_head(child)
    if found != Head(record.number, record.hash, record.timestamp):
        raise JournalCorruptError(
            f"Replaying the journal gives block {found.number} 0x{found.hash.hex()} where 0x{record.hash.hex()} is "
            "recorded. Use the version of anvil that made the journal, or restore the journal from a copy."
        )
