"""Certificates in the state of the ledger: from a state root to the facts that `statusOf` judges, word by word.

The way is Directory -> CertificateRegistry -> slots of certificate, key and batch, each contract pinned by its code.
Slots: docs/ledger.md, frozen by contracts/test/Slots.t.sol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from pki_chain.ports import HoldFlag
from pki_chain.proof.account import prove_account, prove_word, require_code
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.trie import Take
from pki_chain.status.certificate_status import HOLDS, STORED_REVOKED, STORED_SUPERSEDED, CertificateFacts

DIRECTORY: Final = "Directory"
REGISTRY: Final = "CertificateRegistry"
REGISTRY_NAME: Final = keccak(REGISTRY.encode())
"""The registry's name in the Directory."""

_ENTRIES: Final = 0
_CERTIFICATES, _BATCHES, _KEY_BLOCKS = 0, 1, 2
_HEADER, _ACCEPTED, _REJECTED = 1, 3, 4
"""Words of a batch."""

_STORED_RECORDED: Final = 1
_HOUR_S: Final = 3_600

Word = Callable[[int], int]
"""A proven word of the registry's storage."""


@dataclass(frozen=True, slots=True)
class Contracts:
    """Where the way begins, and the code that must stand at its two stations."""

    directory: bytes
    code_hashes: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a certificate is on the ledger; three times 32 bytes."""

    spki_hash: bytes
    tbs_hash: bytes

    @property
    def certificate(self) -> bytes:
        """The id: keccak256 of both."""
        return keccak(self.spki_hash + self.tbs_hash)


def mapping_slot(key: bytes, slot: int) -> int:
    """Slot of a mapping's value. `key` has at most 32 bytes and is filled up on the left."""
    return int.from_bytes(keccak(key.rjust(32, b"\0") + slot.to_bytes(32)))


def directory_slots(name: bytes) -> tuple[int, int]:
    """Slots of an entry's location and code hash."""
    first = mapping_slot(name, _ENTRIES)
    return first, first + 1


def certificate_slots(identity: Identity) -> tuple[int, int]:
    """Slots of a certificate and of its key's block."""
    return mapping_slot(identity.certificate, _CERTIFICATES), mapping_slot(identity.spki_hash, _KEY_BLOCKS)


def batch_slots(batch: int) -> tuple[int, int, int]:
    """Slots of a batch's header, its accepted and its rejected entries."""
    first = mapping_slot(batch.to_bytes(32), _BATCHES)
    return first + _HEADER, first + _ACCEPTED, first + _REJECTED


def batch_of(word: int) -> int:
    """The batch in a certificate's word."""
    return _bits(word, 56, 40)


def prove_facts(state_root: bytes, contracts: Contracts, identity: Identity, take: Take) -> CertificateFacts | None:
    """What the ledger has recorded about a certificate, None when nothing. Raises `ProofRefusedError`."""
    storage_root = _prove_registry(state_root, contracts, take)
    return read_facts(identity, lambda slot: prove_word(storage_root, slot, take))


def _prove_registry(state_root: bytes, contracts: Contracts, take: Take) -> bytes:
    """Storage root of the registry that the Directory names."""
    # 1. The Directory, by address and code
    directory = prove_account(state_root, contracts.directory, take)
    directory = require_code(directory, contracts.code_hashes[DIRECTORY], contracts.directory)
    # 2. Its entry, which must name the pinned code
    location_slot, code_slot = directory_slots(REGISTRY_NAME)
    location = prove_word(directory.storage_root, location_slot, take)
    code_hash = prove_word(directory.storage_root, code_slot, take).to_bytes(32)
    pinned = contracts.code_hashes[REGISTRY]
    if not 0 < location < 1 << 160 or code_hash != pinned:
        raise ProofRefusedError(
            Refusal.HOSTILE_DIRECTORY,
            "the Directory names no registry, or one of other code than the trust file pins. Get a new trust file if"
            " the consortium voted for another registry; else do not rely on this ledger.",
        )
    # 3. The registry there, by its code
    address = location.to_bytes(20)
    return require_code(prove_account(state_root, address, take), pinned, address).storage_root


def read_facts(identity: Identity, word: Word) -> CertificateFacts | None:
    """The facts, reading no word that cannot matter: a revoked certificate's key and batch, a blocked key's batch, and
    whether an accepted entry is rejected (the contract never has one in both maps)."""
    certificate_slot, key_slot = certificate_slots(identity)
    slot = word(certificate_slot)
    if slot == 0:
        return None
    if _bits(slot, 8, 8) & HoldFlag.CA_ISSUED:
        raise ProofRefusedError(
            Refusal.UNKNOWN_RECORD,
            "a CA issued this certificate, and a proof of the registry does not show whether that CA was withdrawn. Ask"
            " a gateway, or use OCSP or CRLs.",
        )
    state = _bits(slot, 0, 4)
    if state not in {_STORED_RECORDED, STORED_SUPERSEDED, STORED_REVOKED} or slot >> 248 or _bits(slot, 8, 8) & ~HOLDS:
        raise _unknown("the certificate's word has a state or a flag that this program does not know")
    if state == STORED_REVOKED:
        return _facts(slot)
    block = word(key_slot)
    if block >> 49:
        raise _unknown("the key's word has bits that this program does not know")
    if block:
        return _facts(slot, key_block=block)
    # A renewal (flag 8) is judged by its lineage's root too, which no contract writes yet: refused above.
    header_slot, accepted_slot, rejected_slot = batch_slots(batch_of(slot))
    header, entry = word(header_slot), _bits(slot, 96, 8)
    if header == 0 or header >> 240:
        raise _unknown("the certificate's batch has no header that this program knows")
    if word(accepted_slot) >> entry & 1:
        return _facts(slot, header=header, accepted=True)
    return _facts(slot, header=header, rejected=bool(word(rejected_slot) >> entry & 1))


def _facts(
    slot: int, *, key_block: int = 0, header: int = 0, accepted: bool = False, rejected: bool = False
) -> CertificateFacts:
    return CertificateFacts(
        state=_bits(slot, 0, 4),
        flags=HoldFlag(_bits(slot, 8, 8)),
        hold_counter=_bits(slot, 16, 16),
        reason=_bits(slot, 32, 8),
        profile=_bits(slot, 40, 16),
        batch=batch_of(slot),
        entry=_bits(slot, 96, 8),
        lot=_bits(slot, 104, 40),
        not_after=_bits(slot, 144, 40),
        changed_at=_bits(slot, 184, 40),
        emergency_until=_bits(slot, 224, 24) * _HOUR_S,
        accepted=accepted,
        rejected=rejected,
        submitted_at=_bits(header, 80, 40),
        window_end=_bits(header, 120, 40),
        decided_at=_bits(header, 160, 40),
        key_block_reason=_bits(key_block, 0, 8),
        key_blocked_at=_bits(key_block, 8, 40),
    )


def _bits(word: int, first: int, count: int) -> int:
    return word >> first & ((1 << count) - 1)


def _unknown(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.UNKNOWN_RECORD, f"{what}. Bring this program up to date.")
