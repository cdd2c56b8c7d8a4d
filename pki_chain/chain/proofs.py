"""Making proofs from a node's answers, by the same walks as whoever verifies them; and following the sealers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from eth_hash.auto import keccak

from pki_chain.chain.connection import Connection, Json, parse_bytes, parse_quantity
from pki_chain.config import ConsortiumFile
from pki_chain.errors import LedgerUnavailableError
from pki_chain.ports import Address
from pki_chain.proof.directory_state import PINNED, REGISTRY, TRUST_LIST, Contracts, directory_slots
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.header import Header, parse_block
from pki_chain.proof.proof import Proof
from pki_chain.proof.registry_state import (
    Identity,
    batch_of,
    batch_slots,
    certificate_slots,
    depends_on_issuer,
    prove_facts,
    prove_record,
)
from pki_chain.proof.seals import MIX_HASH
from pki_chain.proof.trust_list_state import path_slots

_TRIES: Final = 3
"""A certificate may get another batch between the two questions; then they are put again."""


class NodeStore:
    """All nodes of a node's answers; notes which ones walks take, in the order of their first use."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, bytes] = {}
        self._taken: dict[bytes, None] = {}

    def add(self, nodes: Sequence[bytes]) -> None:
        self._nodes.update((keccak(node), node) for node in nodes)

    def take(self, digest: bytes) -> bytes:
        """As `pki_chain.proof.trie.Take`."""
        node = self._nodes.get(digest)
        if node is None:
            raise ProofRefusedError(Refusal.INCOMPLETE_PROOF, "the node's answer lacks a trie node.")
        self._taken[digest] = None
        return node

    def taken(self) -> tuple[bytes, ...]:
        return tuple(self._nodes[digest] for digest in self._taken)


class ProofMaker:
    """Makes proofs at the ledger's head. Safe for threads."""

    def __init__(self, consortium_file: ConsortiumFile, connection: Connection) -> None:
        self._file = consortium_file
        self._connection = connection
        hashes = consortium_file.code_hashes
        self._contracts = Contracts(
            address_bytes(consortium_file.directory),
            {name: hashes[name] for name in PINNED if name in hashes},
        )

    def make(self, identity: Identity, path: Sequence[bytes] = ()) -> tuple[Proof, Header]:
        """The proof of a certificate's status, or of its absence, at the head, and the head.

        `path` are the ids of the CAs above one that a CA issued, from its issuer (the one of when it was submitted) to
        the root; of them only those get into the proof on which the answer depends.
        Raises `LedgerUnavailableError` when no endpoint answers anything that verifies.
        """
        for last in range(1 - _TRIES, 1):
            try:
                return self._make(identity, path)
            except ProofRefusedError as error:
                if not last:
                    raise LedgerUnavailableError(
                        "The ledger's endpoint gives no proof that verifies. Check ledger.endpoints, and that"
                        " consortium.json names the contracts of now.",
                        detail=str(error),
                    ) from error
        raise AssertionError("unreachable")

    def _make(self, identity: Identity, path: Sequence[bytes]) -> tuple[Proof, Header]:
        certificate_slot, key_slot = certificate_slots(identity)
        registry = self._file.certificate_registry
        block, stored = self._connection.results(
            [
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_getStorageAt", [registry, _word(certificate_slot), "latest"]),
            ]
        )
        header, block_hash = parse_answered_block(block)
        batch = batch_of(int.from_bytes(parse_bytes(stored, 32)))
        slots = [certificate_slot, key_slot, *(batch_slots(batch) if batch else ())]
        entries = [*directory_slots(REGISTRY), *(directory_slots(TRUST_LIST) if path else ())]
        asked = [
            proof_request(self._file.directory, entries, header.number),
            proof_request(registry, slots, header.number),
        ]
        if path:
            asked.append(proof_request(self._file.trust_list, path_slots(path), header.number))
        store = NodeStore()
        for answer in self._connection.results(asked):
            store.add(answered_nodes(answer))
        root, contracts = header.state_root, self._contracts
        facts = prove_record(root, contracts, identity, store.take)
        authorities = tuple(path) if facts is not None and depends_on_issuer(facts) else ()
        prove_facts(root, contracts, identity, authorities, store.take)
        proof = Proof(
            chain_id=self._file.chain_id,
            certificate=identity.certificate,
            sealed=header.mix_hash == MIX_HASH,
            block_hash=block_hash,
            header=header.encoded(),
            steps=(),
            nodes=store.taken(),
            authorities=authorities,
        )
        return proof, header


def address_bytes(address: Address) -> bytes:
    """20 bytes."""
    return bytes.fromhex(address.removeprefix("0x"))


def proof_request(address: Address, slots: Sequence[int], number: int) -> tuple[str, list[Any]]:
    """`eth_getProof` of these slots after a block."""
    return "eth_getProof", [address, [_word(slot) for slot in slots], hex(number)]


def answered_nodes(answer: Json) -> list[bytes]:
    """All trie nodes of an answer to `eth_getProof`. Raises `LedgerUnavailableError` for what is none."""
    try:
        listed = [answer["accountProof"], *(entry["proof"] for entry in answer["storageProof"])]
        return [parse_bytes(node) for nodes in listed for node in nodes]
    except (KeyError, TypeError) as error:
        raise LedgerUnavailableError("An endpoint answered eth_getProof with something else than a proof.") from error


def parse_answered_block(answer: Json) -> tuple[Header, bytes]:
    """Header and claimed hash of a block that a node answered. Raises `LedgerUnavailableError` when it has none."""
    if not isinstance(answer, dict):
        raise LedgerUnavailableError("An endpoint does not have a block that was asked for. It may lag: try again.")
    parse_quantity(answer.get("number"))
    return parse_block(answer), parse_bytes(answer.get("hash"), 32)


def _word(slot: int) -> str:
    return f"0x{slot:064x}"
