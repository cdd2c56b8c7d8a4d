"""A ledger of its own with certificates in every state that it can have, and the trust file to its proofs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.chain.proofs import ProofMaker, address_bytes
from pki_chain.chain.typed_data import TypedData, TypedTexts
from pki_chain.ports import HoldKind
from pki_chain.proof.directory_state import PINNED, Contracts
from pki_chain.proof.sealer_set import SealerState, Sealing
from pki_chain.proof.seals import SealerMode
from pki_chain.proof.trust import Trust, TrustTerms, sealers_hash
from pki_chain.proof.verifier import identify
from pki_chain.station.key_compromise import declare_compromise, subject_public_key_info
from pki_chain.x509.certificate import SubjectAltName
from pki_chain.x509.profile import SMALL_CELL, SanType
from pki_chain.x509.self_signed import create_key, issue
from tests.ledger import (
    OEM,
    OPERATOR,
    VENDOR,
    Consortium,
    FoundedMember,
    consortium,
    issue_certificates,
    ledger_engine,
)
from tests.proof.issued import put_issued

__all__ = ["consortium", "ledger", "ledger_engine"]


@dataclass(frozen=True, slots=True)
class ProofLedger:
    """The ledger, a certificate for each state by name, and what is needed to prove and verify."""

    consortium: Consortium
    certificates: dict[str, bytes]
    maker: ProofMaker
    trust: Trust
    paths: Mapping[str, tuple[bytes, ...]]
    """By the name of a certificate that a CA issued, the CAs above it."""

    def now(self) -> int:
        return self.consortium.now()


@pytest.fixture(scope="session")
def ledger(consortium: Consortium) -> ProofLedger:
    """Valid, held, revoked, key-blocked, rejected, submitted and unknown certificates."""
    names = ("valid", "held", "emergency", "revoked", "blocked", "rejected", "submitted", "unknown")
    member, key = consortium.members[VENDOR], create_key()
    issued = issue_certificates(member, len(names), now=consortium.now())
    issued[4] = issue_certificate(member, key, now=consortium.now())
    certificates = dict(zip(names, issued, strict=True))
    lot = consortium.open_lot()
    batch = consortium.submit(issued[:6], lot)
    for endorser in (OPERATOR, OEM):
        assert consortium.endorse(batch, endorser, accepts=0b011111).succeeded
    consortium.submit([certificates["submitted"]], lot)
    place_hold(consortium, certificates["held"], HoldKind.OWNER, VENDOR)
    place_hold(consortium, certificates["emergency"], HoldKind.EMERGENCY, OPERATOR)
    revoke(consortium, certificates["revoked"])
    order = declare_compromise(consortium.texts, key)
    info = subject_public_key_info(key)
    assert consortium.send(
        consortium.calls.block_key_by_proof(info, int(order["r"], 16), int(order["s"], 16))
    ).succeeded
    below_authorities, paths = put_issued(consortium)
    place_hold(consortium, below_authorities["issued and held"], HoldKind.OWNER, VENDOR)
    maker = ProofMaker(consortium.file, consortium.ledger.connection)
    return ProofLedger(consortium, certificates | below_authorities, maker, trust_of(consortium), paths)


def issue_certificate(member: FoundedMember, key: ec.EllipticCurvePrivateKey, *, now: int) -> bytes:
    """As `issue_certificates`, of a key that the test has."""
    name = SubjectAltName(SanType.DNS, f"{secrets.token_hex(6)}.{member.space}".encode())
    return issue(
        key, profile=SMALL_CELL, organisation=member.name, names=[name], not_before=now - 60, lifetime_days=365
    )


def place_hold(consortium: Consortium, der: bytes, kind: HoldKind, member: int) -> None:
    """The first hold of a certificate, by a member's duty account."""
    duty, deadline = consortium.members[member].keys["duty"], consortium.deadline()
    act = (identify(der).certificate, kind, 6, 0)
    signature = duty.sign(consortium.texts.hold(*act, deadline))
    receipt = consortium.send(consortium.calls.hold(*act, deadline=deadline, signer=duty.address, signature=signature))
    assert receipt.succeeded, receipt.revert


def revoke(consortium: Consortium, der: bytes) -> None:
    """By the vendor's administrator, for a compromised key."""
    administrator, deadline = consortium.members[VENDOR].keys["administrator"], consortium.deadline()
    act = (identify(der).certificate, 1)
    signature = administrator.sign(consortium.texts.revoke(*act, deadline))
    receipt = consortium.send(
        consortium.calls.revoke(*act, deadline=deadline, signer=administrator.address, signature=signature)
    )
    assert receipt.succeeded, receipt.revert


def trust_of(consortium: Consortium) -> Trust:
    """A trust file for the ledger's head, signed by two members."""
    head = consortium.ledger.head()
    members = consortium.members
    terms = TrustTerms(
        chain_id=consortium.file.chain_id,
        salt=consortium.file.salt,
        contracts=Contracts(
            address_bytes(consortium.file.directory),
            MappingProxyType({name: consortium.file.code_hashes[name] for name in PINNED}),
        ),
        sealing=Sealing(SealerMode.NONE),
        age_bound_s=30,
        governance_window_s=30 * 86_400,
        administrators=tuple(
            (number, address_bytes(member.keys["administrator"].address)) for number, member in members.items()
        ),
        threshold=2,
    )
    trust = Trust(terms, SealerState(head.number, head.hash, head.time, ()), ())
    for number in (OPERATOR, VENDOR):
        signer = members[number].keys["administrator"]
        trust = trust.with_signature(signer.sign(checkpoint_text(consortium.texts, trust)))
    return trust


def checkpoint_text(texts: TypedTexts, trust: Trust) -> TypedData:
    """What administrators sign, as the ledger adapter makes it: a second implementation of the digest."""
    at = trust.checkpoint
    return texts.trust_checkpoint(trust.terms.hash(), at.number, at.block_hash, at.time, sealers_hash(at.sealers))
