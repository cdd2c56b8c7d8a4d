"""Whether a proof shows what the ledger says of a certificate. Numbered steps; each failure has its own refusal.

The caller gives the time; nothing is fetched. Source: docs/proofs.md, Verifying.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from pki_chain.ports import Status, TrustScope
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.extra_data import parse_extra_data
from pki_chain.proof.header import Header, parse_header
from pki_chain.proof.proof import Proof, Step
from pki_chain.proof.registry_state import Identity, prove_facts
from pki_chain.proof.sealer_set import SealerState, follow_contract, follow_header
from pki_chain.proof.seals import SealerMode, verify_seals
from pki_chain.proof.trie import NodeList
from pki_chain.proof.trust import SKEW_S, Trust
from pki_chain.proof.trust_list_state import NamedIssuer
from pki_chain.status.certificate_status import UNKNOWN, CertificateStatus, derive_status
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.extensions import read_extensions
from pki_chain.x509.issuer import needed_scope
from pki_chain.x509.structure import CertificateStructure, read_structure

_WRONG_CLOCK: Final = "Set this machine's clock, or ask another gateway"


@dataclass(frozen=True, slots=True)
class ProvenStatus:
    """What the ledger said at a block. `sealed` is False where only the caller's word stands for the block.

    `authorities` are the ids of the CAs whose word counted, from the issuer to the root: none for a self-signed
    certificate, and for one that ended whatever they say.
    """

    status: CertificateStatus
    block_number: int
    block_hash: bytes
    block_time: int
    age_s: int
    sealed: bool
    not_after_passed: bool
    """By the reader's own clock."""
    authorities: tuple[bytes, ...]
    scope: TrustScope
    """What the issuer is trusted for; everything where no CA issued it. Compare it with what you are about to do: a
    certificate without extended key usage comes from CAs for IKE, and much software takes it for anything."""

    @property
    def is_good(self) -> bool:
        """Valid at the block, and not expired since."""
        return self.status.state is Status.VALID and not self.not_after_passed


def identify(der: bytes) -> Identity:
    """What a certificate is on the ledger. Raises `CertificateRefusedError` for what is no certificate in DER."""
    structure = read_structure(der)
    spki, tbs = structure.spki.encoded, structure.tbs
    return Identity(hashlib.sha256(spki).digest(), hashlib.sha256(tbs).digest(), _named_issuer(structure))


def _named_issuer(structure: CertificateStructure) -> NamedIssuer | None:
    """None for what names itself, and for what the ledger would take from no CA."""
    try:
        extensions = read_extensions(structure.extensions, san_is_critical=not structure.subject_rdns)
    except CertificateRefusedError:
        return None
    key_identifier = extensions.authority_key_identifier
    if structure.issuer == structure.subject or key_identifier is None:
        return None
    return NamedIssuer(keccak(structure.issuer), keccak(key_identifier), needed_scope(extensions))


class Verifier:
    """Judges proofs by one trust file, whose signatures it verifies once.

    `unsafe_unsealed`: take blocks that nobody sealed (the embedded engine): whoever gives the proof is then believed.
    """

    def __init__(self, trust: Trust, *, unsafe_unsealed: bool = False) -> None:
        trust.verify_signatures()
        self._trust = trust
        self._unsafe_unsealed = unsafe_unsealed

    def verify(
        self, proof: Proof, identity: Identity, now: int, *, max_age_s: int | None = None, least_block: int = 0
    ) -> ProvenStatus:
        """What the ledger said of a certificate (`identify`) at most `max_age_s` before `now` (seconds since 1970;
        default: the consortium's bound), at `least_block` or later: the last one that the reader has seen of it, so
        that a hold cannot be undone by an older proof. Raises `ProofRefusedError`."""
        terms = self._trust.terms
        # 1. The trust file is young enough that sealers of then could not have left and sold their keys
        self._trust.require_young(now)
        # 2. The proof is for this chain and certificate, and of an engine that seals
        if proof.chain_id != terms.chain_id:
            raise _refused(Refusal.OTHER_CHAIN, f"the proof is of chain {proof.chain_id}, not {terms.chain_id}")
        if proof.certificate != identity.certificate:
            raise _refused(Refusal.OTHER_CERTIFICATE, "the proof is about another certificate")
        self._require_sealing(proof)
        # 3. Who seals now
        state = self._trust.state
        for step in proof.steps:
            state = self._follow(state, step)
        # 4. The header, sealed by them
        header = parse_header(proof.header)
        block_hash = self._verify_header(header, state)
        if block_hash != proof.block_hash:
            raise _refused(Refusal.BLOCK_HASH_MISMATCH, "the header is not the block that the proof names")
        # 5. Young enough, and not before what was seen
        age_s = _age(header, now, terms.age_bound_s if max_age_s is None else max_age_s)
        if header.number < least_block:
            raise _refused(Refusal.OLDER_THAN_SEEN, f"block {header.number} is before {least_block}, seen already")
        # 6. Directory, registry, certificate, key, batch and the CAs above under the header's state root, nothing else
        nodes = NodeList(proof.nodes)
        facts, scope = prove_facts(header.state_root, terms.contracts, identity, proof.authorities, nodes.take)
        nodes.finish()
        # 7. The answer, as `statusOf` gives it at that block
        return ProvenStatus(
            status=UNKNOWN if facts is None else derive_status(facts, header.time),
            block_number=header.number,
            block_hash=block_hash,
            block_time=header.time,
            age_s=age_s,
            sealed=proof.sealed,
            not_after_passed=facts is not None and now > facts.not_after,
            authorities=proof.authorities,
            scope=scope,
        )

    def _require_sealing(self, proof: Proof) -> None:
        if proof.sealed != (self._trust.terms.sealing.mode is not SealerMode.NONE):
            raise _refused(
                Refusal.SEALING_MISMATCH, "proof and trust file disagree on whether the engine seals its blocks"
            )
        if not proof.sealed and not self._unsafe_unsealed:
            raise ProofRefusedError(
                Refusal.UNSEALED,
                "this ledger's engine does not seal its blocks, so the proof is the gateway's word."
                " Take it only for trying things out, with --unsafe-unsealed.",
            )

    def _follow(self, state: SealerState, step: Step) -> SealerState:
        """One step of the proof: the next header, or a change of the contract's set."""
        sealing = self._trust.terms.sealing
        header = parse_header(step.header)
        nodes = NodeList(step.nodes)
        match sealing.mode:
            case SealerMode.HEADER:
                followed = follow_header(state, header, sealing)
            case SealerMode.CONTRACT:
                followed = follow_contract(state, header, sealing, nodes.take)
            case SealerMode.NONE:
                raise _refused(Refusal.SEALING_MISMATCH, "the proof has steps where nothing is sealed")
        nodes.finish()
        return followed

    def _verify_header(self, header: Header, state: SealerState) -> bytes:
        """The block's hash."""
        mode = self._trust.terms.sealing.mode
        if header.number < state.number:
            raise _refused(
                Refusal.HEADER_BEFORE_CHECKPOINT, f"block {header.number} is before block {state.number}, known already"
            )
        if header.number > state.number and mode is not SealerMode.NONE:
            return verify_seals(header, state.sealers, mode)[0]
        if mode is SealerMode.NONE:
            block_hash = header.plain_hash()
        else:  # known already, and sealed by the set before: its hash says enough
            block_hash = header.hash_with(parse_extra_data(header.extra_data).for_block_hash())
        if header.number == state.number and block_hash != state.block_hash:
            raise _refused(Refusal.CHECKPOINT_CONFLICT, f"block {header.number} is another than the one that is known")
        return block_hash


def _age(header: Header, now: int, max_age_s: int) -> int:
    age_s = now - header.time
    if age_s > max_age_s:
        raise _refused(
            Refusal.STALE_HEADER, f"the block is {age_s} s old, {max_age_s} s are allowed", "Get a new proof"
        )
    if age_s < -SKEW_S:
        raise _refused(Refusal.HEADER_FROM_FUTURE, f"the block lies {-age_s} s ahead", _WRONG_CLOCK)
    return max(age_s, 0)


def _refused(refusal: Refusal, what: str, remedy: str = "Ask another gateway") -> ProofRefusedError:
    return ProofRefusedError(refusal, f"{what}. {remedy}.")
