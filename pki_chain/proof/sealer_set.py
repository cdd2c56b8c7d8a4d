"""Who may seal the next block, followed from a set that is trusted.

Header mode: every header is read, and votes are tallied. Contract mode: one storage proof a change. A block is always
sealed by the set as it stands after its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from eth_hash.auto import keccak

from pki_chain.proof.account import prove_account, prove_word, require_code
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.extra_data import Vote
from pki_chain.proof.header import Header
from pki_chain.proof.seals import SealerMode, verify_seals
from pki_chain.proof.trie import Take

MAX_SEALERS: Final = 255

Votes = Mapping[tuple[bytes, bytes], bool]
"""(Proposer, candidate) -> whether to add; open since the last epoch boundary."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """How the chain is sealed; part of the trust file.

    Header mode: open votes are forgotten at each multiple of `epoch_length`; `boundary_vote_counts` says whether the
    boundary block's own vote then counts (GoQuorum) or not (Besu). Contract mode: the contract whose storage has the
    set, its code hash, and the slot of its `address[]`.
    """

    mode: SealerMode
    epoch_length: int = 0
    boundary_vote_counts: bool = False
    contract: bytes = b""
    code_hash: bytes = b""
    slot: int = 0


@dataclass(frozen=True, slots=True)
class SealerState:
    """The last block known and the set in force after it, sorted; `votes` only in header mode."""

    number: int
    block_hash: bytes
    time: int
    sealers: tuple[bytes, ...]
    votes: Votes = field(default_factory=lambda: MappingProxyType({}))


def follow_header(state: SealerState, header: Header, sealing: Sealing) -> SealerState:
    """The state after the next header in header mode, with its vote counted. Raises `ProofRefusedError`."""
    if header.number != state.number + 1 or header.parent_hash != state.block_hash:
        raise ProofRefusedError(
            Refusal.HEADER_NOT_NEXT, f"header {header.number} does not follow block {state.number}. Give all headers."
        )
    block_hash, extra = verify_seals(header, state.sealers, SealerMode.HEADER)
    votes, sealers = dict(state.votes), set(state.sealers)
    boundary = header.number % sealing.epoch_length == 0
    if boundary:
        votes.clear()
    if extra.vote is not None and (sealing.boundary_vote_counts or not boundary):
        if header.proposer not in sealers:
            raise ProofRefusedError(
                Refusal.FOREIGN_PROPOSER, f"0x{header.proposer.hex()} votes and is no sealer. Ask another node."
            )
        _count(votes, sealers, header.proposer, extra.vote)
    return SealerState(header.number, block_hash, header.time, tuple(sorted(sealers)), MappingProxyType(votes))


def _count(votes: dict[tuple[bytes, bytes], bool], sealers: set[bytes], proposer: bytes, vote: Vote) -> None:
    """Take a vote in; carry it out where more than half of the sealers voted for it."""
    votes.pop((proposer, vote.candidate), None)
    if vote.add == (vote.candidate in sealers):
        return  # asks for what is so already
    votes[proposer, vote.candidate] = vote.add
    support = sum(candidate == vote.candidate for _, candidate in votes)
    if 2 * support <= len(sealers):
        return
    if vote.add:
        sealers.add(vote.candidate)
    else:
        sealers.remove(vote.candidate)
    for known in list(votes):
        if known[1] == vote.candidate or known[0] not in sealers:
            del votes[known]


def follow_contract(state: SealerState, header: Header, sealing: Sealing, take: Take) -> SealerState:
    """The state after a header in contract mode, which the set in force sealed, with the set that its state holds.

    Raises `ProofRefusedError`.
    """
    if header.number <= state.number:
        raise ProofRefusedError(
            Refusal.HEADER_NOT_NEXT, f"header {header.number} is not after block {state.number}. Order the steps."
        )
    block_hash, _ = verify_seals(header, state.sealers, SealerMode.CONTRACT)
    account = prove_account(header.state_root, sealing.contract, take)
    storage_root = require_code(account, sealing.code_hash, sealing.contract).storage_root
    sealers = read_sealers(lambda slot: prove_word(storage_root, slot, take), sealing.slot)
    return SealerState(header.number, block_hash, header.time, sealers)


def read_sealers(word: Callable[[int], int], slot: int) -> tuple[bytes, ...]:
    """The `address[]` at `slot`, sorted. Raises `ProofRefusedError` (bad-sealer-set)."""
    count = word(slot)
    if not 0 < count <= MAX_SEALERS:
        raise _bad_set(f"has {count} entries, not 1 to {MAX_SEALERS}")
    values = [word(array_slot(slot, index)) for index in range(count)]
    if len(set(values)) != count or not all(0 < value < 1 << 160 for value in values):
        raise _bad_set("has an entry twice, or one that is no address")
    return tuple(sorted(value.to_bytes(20) for value in values))


def array_slot(slot: int, index: int) -> int:
    """Slot of an element of the dynamic array at `slot`."""
    return (int.from_bytes(keccak(slot.to_bytes(32))) + index) % (1 << 256)


def _bad_set(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.BAD_SEALER_SET, f"the contract's list of sealers {what}. Check the trust file.")
