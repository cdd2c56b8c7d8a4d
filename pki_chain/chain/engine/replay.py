"""Bringing a child to where the journal is, and checking that it gets there by the same hashes."""

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


@dataclass(frozen=True, slots=True)
class Replayed:
    """Where a replay ended.

    `waiting` holds raw transactions by hash that are in no block, in the order in which they came. `head_at` is the
    place in the journal of the last block that was made (0 for none), `resume_at` the place from which a later replay
    has to read to know as much.
    """

    head: Head
    waiting: dict[bytes, bytes]
    head_at: int
    resume_at: int


def read_block(child: Child) -> dict[str, Any]:
    """The child's last block, with the hashes of its transactions."""
    block: dict[str, Any] = child.request("eth_getBlockByNumber", "latest", False)  # noqa: FBT003  # JSON-RPC's order
    return block


def read_head(child: Child) -> Head:
    return Head.parse(read_block(child))


def replay(child: Child, entries: Iterable[tuple[int, int, Record]], start: Head | None = None) -> Replayed:
    """Make the journal's blocks again, those after `start` where the child is there already.

    `entries` are records with the places where they begin and end. Raises `JournalCorruptError` when the blocks come
    out otherwise than they were recorded.
    """
    waiting: dict[bytes, tuple[int, bytes]] = {}
    number = start.number if start else 0
    last: BlockRecord | None = None
    head_at = place = 0
    for begin, end, record in entries:
        place = end
        if not isinstance(record, BlockRecord):
            waiting.setdefault(keccak(record.raw), (begin, record.raw))
        elif record.number <= number and last is None:
            for each in record.transactions:
                waiting.pop(each, None)
        else:
            if record.number != number + 1 or any(each not in waiting for each in record.transactions):
                raise JournalCorruptError(f"The journal's block {record.number} does not follow from what is before.")
            _make(child, record, [waiting.pop(each)[1] for each in record.transactions])
            number, last, head_at = record.number, record, begin
    if last is not None:
        _check(child, last)
    resume_at = min((begin for begin, _ in waiting.values()), default=place)
    raws = {each: raw for each, (_, raw) in waiting.items()}
    return Replayed(read_head(child), raws, head_at, resume_at)


def _make(child: Child, record: BlockRecord, transactions: list[bytes]) -> None:
    if transactions:
        child.batch([("eth_sendRawTransaction", ["0x" + raw.hex()]) for raw in transactions])
    child.request("evm_mine", record.timestamp)
    if record.number % _CHECK_EVERY == 0:
        _check(child, record)


def _check(child: Child, record: BlockRecord) -> None:
    found = read_head(child)
    if found != Head(record.number, record.hash, record.timestamp):
        raise JournalCorruptError(
            f"Replaying the journal gives block {found.number} 0x{found.hash.hex()} where 0x{record.hash.hex()} is "
            "recorded. Use the version of anvil that made the journal, or restore the journal from a copy."
        )
