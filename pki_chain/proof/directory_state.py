"""Contracts that the Directory names, each pinned by its code: where every walk into the ledger's state begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from pki_chain.proof.account import prove_account, prove_word, require_code
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.trie import Take

DIRECTORY: Final = "Directory"
REGISTRY: Final = "CertificateRegistry"
TRUST_LIST: Final = "TrustList"
PINNED: Final = (DIRECTORY, REGISTRY, TRUST_LIST)
"""Contracts whose code a trust file pins."""

_ENTRIES: Final = 0

Word = Callable[[int], int]
"""A proven word of a contract's storage."""


@dataclass(frozen=True, slots=True)
class Contracts:
    """Where the way begins, and the code that must stand at its stations: code hashes by name, see `PINNED`."""

    directory: bytes
    code_hashes: Mapping[str, bytes]


def mapping_slot(key: bytes, slot: int) -> int:
    """Slot of a mapping's value. `key` has at most 32 bytes and is filled up on the left."""
    return int.from_bytes(keccak(key.rjust(32, b"\0") + slot.to_bytes(32)))


def directory_slots(contract: str) -> tuple[int, int]:
    """Slots of the location and the code hash in a contract's entry."""
    first = mapping_slot(keccak(contract.encode()), _ENTRIES)
    return first, first + 1


def prove_contract(state_root: bytes, contracts: Contracts, contract: str, take: Take) -> Word:
    """Reader of the storage of a contract that the Directory names. Raises `ProofRefusedError`."""
    # 1. The Directory, by address and code
    directory = prove_account(state_root, contracts.directory, take)
    directory = require_code(directory, contracts.code_hashes[DIRECTORY], contracts.directory)
    # 2. Its entry, which must name the pinned code
    location_slot, code_slot = directory_slots(contract)
    location = prove_word(directory.storage_root, location_slot, take)
    code_hash = prove_word(directory.storage_root, code_slot, take).to_bytes(32)
    pinned = contracts.code_hashes[contract]
    if not 0 < location < 1 << 160 or code_hash != pinned:
        raise ProofRefusedError(
            Refusal.HOSTILE_DIRECTORY,
            f"the Directory names no {contract}, or one of other code than the trust file pins. Get a new trust file if"
            " the consortium voted for another one; else do not rely on this ledger.",
        )
    # 3. The contract there, by its code
    address = location.to_bytes(20)
    storage_root = require_code(prove_account(state_root, address, take), pinned, address).storage_root
    return lambda slot: prove_word(storage_root, slot, take)


def bits_of(word: int, first: int, count: int) -> int:
    """A field of a word, by its least significant bit and its length."""
    return word >> first & ((1 << count) - 1)
