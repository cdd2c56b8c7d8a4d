"""Certificates in the state of the ledger: from a state root to the facts that `statusOf` judges, word by word.

The way is Directory -> CertificateRegistry -> slots of certificate, key and batch, and where a CA issued it
Directory -> TrustList -> slots of the CAs, each contract pinned by its code.
Slots: docs/ledger.md, frozen by contracts/test/Slots.t.sol and TrustList.t.sol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from eth_hash.auto import keccak

from pki_chain.ports import HoldFlag, TrustScope
from pki_chain.proof.directory_state import REGISTRY, TRUST_LIST, Contracts, Word, mapping_slot, prove_contract
from pki_chain.proof.directory_state import bits_of as _bits
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.trie import Take
from pki_chain.proof.trust_list_state import NamedIssuer, prove_issuer
from pki_chain.status.certificate_status import HOLDS, STORED_REVOKED, STORED_SUPERSEDED, CertificateFacts

_CERTIFICATES, _BATCHES, _KEY_BLOCKS = 0, 1, 2
_HEADER, _ACCEPTED, _REJECTED = 1, 3, 4
"""Words of a batch."""

_STORED_RECORDED: Final = 1
_KNOWN_FLAGS: Final = HOLDS | HoldFlag.CA_ISSUED
_HOUR_S: Final = 3_600
ALL_SCOPES: Final = TrustScope.IKE | TrustScope.TLS | TrustScope.SLICE
"""Of what no CA bounds."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a certificate is on the ledger: twice 32 bytes, and the issuer that it names where it names another."""

    spki_hash: bytes
    tbs_hash: bytes
    issuer: NamedIssuer | None = None

    @property
    def certificate(self) -> bytes:
        """The id: keccak256 of both."""
        return keccak(self.spki_hash + self.tbs_hash)


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


def prove_facts(
    state_root: bytes, contracts: Contracts, identity: Identity, authorities: Sequence[bytes], take: Take
) -> tuple[CertificateFacts | None, TrustScope]:
    """What the ledger has recorded about a certificate and the CAs above it, None when nothing; and what its issuer is
    trusted for.

    `authorities` are the ids of those CAs, from the issuer to the root, where it depends on them (`depends_on_issuer`).
    Raises `ProofRefusedError`.
    """
    facts = prove_record(state_root, contracts, identity, take)
    if facts is None or not depends_on_issuer(facts):
        if authorities:
            raise ProofRefusedError(
                Refusal.SPARE_AUTHORITY, "the proof names a CA on which nothing depends. Ask another gateway."
            )
        return facts, ALL_SCOPES
    word = prove_contract(state_root, contracts, TRUST_LIST, take)
    found = prove_issuer(authorities, identity.issuer, facts.submitted_at, facts.not_after, word)
    return replace(facts, issuer_withdrawal_reason=found.reason, issuer_withdrawn_at=found.since), found.scope


def prove_record(state_root: bytes, contracts: Contracts, identity: Identity, take: Take) -> CertificateFacts | None:
    """What the registry alone has recorded. Raises `ProofRefusedError`."""
    return read_facts(identity, prove_contract(state_root, contracts, REGISTRY, take))


def depends_on_issuer(facts: CertificateFacts) -> bool:
    """Whether the withdrawal of a CA could change the answer: it comes after all else that ends a certificate."""
    ended = facts.state == STORED_REVOKED or facts.key_blocked_at
    return bool(facts.flags & HoldFlag.CA_ISSUED) and facts.accepted and not ended


def read_facts(identity: Identity, word: Word) -> CertificateFacts | None:
    """The facts, reading no word that cannot matter: a revoked certificate's key and batch, a blocked key's batch, and
    whether an accepted entry is rejected (the contract never has one in both maps)."""
    certificate_slot, key_slot = certificate_slots(identity)
    slot = word(certificate_slot)
    if slot == 0:
        return None
    state = _bits(slot, 0, 4)
    if (
        state not in {_STORED_RECORDED, STORED_SUPERSEDED, STORED_REVOKED}
        or slot >> 248
        or _bits(slot, 8, 8) & ~_KNOWN_FLAGS
    ):
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


def _unknown(what: str) -> ProofRefusedError:
    return ProofRefusedError(Refusal.UNKNOWN_RECORD, f"{what}. Bring this program up to date.")
