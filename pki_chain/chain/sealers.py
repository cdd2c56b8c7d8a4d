"""Following the sealers over a node's answers, from a state that is trusted to the ledger's head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pki_chain.chain.connection import Connection, block_tag, parse_bytes
from pki_chain.chain.proofs import NodeStore, answered_nodes, parse_answered_block, proof_request
from pki_chain.errors import InputError, LedgerUnavailableError
from pki_chain.ports import Address
from pki_chain.proof.account import prove_account, prove_word, require_code
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.extra_data import parse_extra_data
from pki_chain.proof.header import Header
from pki_chain.proof.proof import Step
from pki_chain.proof.sealer_set import (
    MAX_SEALERS,
    SealerState,
    Sealing,
    array_slot,
    follow_contract,
    follow_header,
    read_sealers,
)
from pki_chain.proof.seals import SealerMode, verify_seals
from pki_chain.proof.trie import NodeList

HEADERS_A_REQUEST: Final = 200
_OTHER_SEALERS: Final = frozenset({Refusal.FOREIGN_SEAL, Refusal.NO_QUORUM})


class SealerFollower:
    """Follows one chain. Nothing that the node answers is believed; what does not verify is a `ProofRefusedError`."""

    def __init__(self, connection: Connection, sealing: Sealing) -> None:
        """Raises `InputError` for a ledger whose blocks nobody seals."""
        if sealing.mode is SealerMode.NONE:
            raise InputError("this ledger's engine does not seal its blocks: there is nothing to follow")
        self._connection = connection
        self._sealing = sealing

    def follow(self, state: SealerState) -> tuple[SealerState, tuple[Step, ...]]:
        """The state at the head, and the steps that lead there: all headers in header mode, the changes in contract
        mode. Raises `ProofRefusedError`, `LedgerUnavailableError`."""
        head = self._headers(["latest"])[0]
        if self._sealing.mode is SealerMode.HEADER:
            return self._follow_headers(state, head)
        return self._follow_contract(state, head)

    def sealers_at(self, number: int) -> tuple[bytes, ...]:
        """The contract's set after a block, as the node has it: for a checkpoint, which administrators sign."""
        header = self._headers([hex(number)])[0]
        store = self._proof(header)
        account = require_code(
            prove_account(header.state_root, self._sealing.contract, store.take),
            self._sealing.code_hash,
            self._sealing.contract,
        )
        return read_sealers(lambda slot: prove_word(account.storage_root, slot, store.take), self._sealing.slot)

    def _follow_headers(self, state: SealerState, head: Header) -> tuple[SealerState, tuple[Step, ...]]:
        steps: list[Step] = []
        while state.number < head.number:
            last = min(state.number + HEADERS_A_REQUEST, head.number)
            for header in self._headers([hex(number) for number in range(state.number + 1, last + 1)]):
                state = follow_header(state, header, self._sealing)
                steps.append(Step(header.encoded()))
        return state, tuple(steps)

    def _follow_contract(self, state: SealerState, head: Header) -> tuple[SealerState, tuple[Step, ...]]:
        steps: list[Step] = []
        while state.number < head.number:
            try:
                block_hash, _ = verify_seals(head, state.sealers, SealerMode.CONTRACT)
            except ProofRefusedError as error:
                if error.refusal not in _OTHER_SEALERS:
                    raise
                changed, step = self._next_change(state, head, error)
                steps.append(step)
                state = changed
                continue
            state = SealerState(head.number, block_hash, head.time, state.sealers)
        return state, tuple(steps)

    def _next_change(self, state: SealerState, head: Header, refused: ProofRefusedError) -> tuple[SealerState, Step]:
        """The last block that the set of `state` sealed before one that it did not, and the set that follows."""
        first, last, before = state.number, head.number, None
        while last - first > 1:
            middle = self._headers([hex((first + last) // 2)])[0]
            if self._is_sealed(middle, state):
                first, before = middle.number, middle
            else:
                last = middle.number
        if before is None:
            raise refused
        store = self._proof(before)
        follow_contract(state, before, self._sealing, store.take)
        step = Step(before.encoded(), store.taken())
        changed = follow_contract(state, before, self._sealing, NodeList(step.nodes).take)
        if changed.sealers == state.sealers:
            raise refused
        return changed, step

    def _is_sealed(self, header: Header, state: SealerState) -> bool:
        try:
            verify_seals(header, state.sealers, SealerMode.CONTRACT)
        except ProofRefusedError:
            return False
        return True

    def _proof(self, header: Header) -> NodeStore:
        """All nodes of the contract's set after a block."""
        slot = self._sealing.slot
        contract = Address("0x" + self._sealing.contract.hex())
        tag = block_tag(header.number)
        stored = self._connection.request("eth_getStorageAt", [contract, f"0x{slot:064x}", tag])
        count = int.from_bytes(parse_bytes(stored, 32))
        if count > MAX_SEALERS:
            raise LedgerUnavailableError(f"The ledger's endpoint tells of {count} sealers. Check ledger.endpoints.")
        slots = [slot, *(array_slot(slot, index) for index in range(count))]
        method, arguments = proof_request(contract, slots, header.number)
        store = NodeStore()
        store.add(answered_nodes(self._connection.request(method, arguments)))
        return store

    def _headers(self, tags: Sequence[str]) -> list[Header]:
        answers = self._connection.results([("eth_getBlockByNumber", [tag, False]) for tag in tags])
        return [parse_answered_block(answer)[0] for answer in answers]


def checkpoint_at(connection: Connection, sealing: Sealing, number: int) -> tuple[bytes, ...]:
    """The set that the header of an epoch boundary lists, for a checkpoint in header mode, which administrators sign.

    Raises `InputError` for a block that is no boundary or votes itself: engines differ on whether that vote counts.
    """
    header = parse_answered_block(connection.request("eth_getBlockByNumber", [hex(number), False]))[0]
    extra = parse_extra_data(header.extra_data)
    if number % sealing.epoch_length or extra.vote is not None:
        raise InputError(f"block {number} is no epoch boundary, or carries a vote: take a checkpoint at another one")
    return extra.sealers
