"""Proofs of the embedded ledger: the same answer as `statusOf`, in every state; what is not sealed is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pki_chain.errors import LedgerUnavailableError
from pki_chain.ports import Status
from pki_chain.proof.errors import ProofRefusedError, Refusal
from pki_chain.proof.proof import parse_proof
from pki_chain.proof.verifier import Verifier, identify
from tests.proof.conftest import ProofLedger

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("proof-ledger")]

STATES = {
    "valid": Status.VALID,
    "held": Status.HELD,
    "emergency": Status.HELD,
    "revoked": Status.REVOKED,
    "blocked": Status.REVOKED,
    "rejected": Status.REJECTED,
    "submitted": Status.SUBMITTED,
    "unknown": Status.UNKNOWN,
}


ISSUED = {
    "issued": (Status.VALID, 0),
    "issued and held": (Status.HELD, 6),
    "issued under RSA": (Status.VALID, 0),
    "issued below three": (Status.VALID, 0),
    "issued by a withdrawn CA": (Status.REVOKED, 2),
    "issued, replaced CA withdrawn": (Status.REVOKED, 4),
    "issued after the renewal": (Status.VALID, 0),
    "issued after that CA": (Status.VALID, 0),
}


@pytest.mark.parametrize(("name", "state"), STATES.items())
def test_a_proof_gives_the_answer_of_statusof(ledger: ProofLedger, name: str, state: Status) -> None:
    identity = identify(ledger.certificates[name])
    made, header = ledger.maker.make(identity)
    for content in (made.cbor(), made.json()):
        proof = parse_proof(content)
        assert proof == made
        proven = Verifier(ledger.trust, unsafe_unsealed=True).verify(proof, identity, header.time + 1)
        assert not proven.sealed
        assert proven.status.state is state
        assert proven.is_good == (state is Status.VALID)
        said = ledger.consortium.ledger.status_of(identity.spki_hash, identity.tbs_hash)
        for field in (
            "state",
            "reason",
            "since",
            "not_after",
            "profile",
            "batch",
            "entry",
            "lot",
            "hold_counter",
            "flags",
        ):
            assert getattr(proven.status, field) == getattr(said, field), field


def test_the_gateway_s_word_alone_is_refused(ledger: ProofLedger) -> None:
    identity = identify(ledger.certificates["valid"])
    made, header = ledger.maker.make(identity)
    assert not made.sealed
    _refused(ledger, Refusal.UNSEALED, lambda: Verifier(ledger.trust).verify(made, identity, header.time))


def test_a_claim_to_be_sealed_does_not_help(ledger: ProofLedger) -> None:
    identity = identify(ledger.certificates["valid"])
    made, header = ledger.maker.make(identity)
    verifier = Verifier(ledger.trust, unsafe_unsealed=True)
    _refused(
        ledger, Refusal.SEALING_MISMATCH, lambda: verifier.verify(replace(made, sealed=True), identity, header.time)
    )


def _refused(_ledger: ProofLedger, refusal: Refusal, act) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ProofRefusedError) as refused:
        act()
    assert refused.value.refusal is refusal


@pytest.mark.parametrize("name", ISSUED)
def test_a_proof_tells_what_was_done_to_the_cas_above(ledger: ProofLedger, name: str) -> None:
    identity = identify(ledger.certificates[name])
    made, header = ledger.maker.make(identity, ledger.paths[name])
    assert made.authorities == ledger.paths[name]
    for content in (made.cbor(), made.json()):
        proven = Verifier(ledger.trust, unsafe_unsealed=True).verify(parse_proof(content), identity, header.time)
        assert (proven.status.state, proven.status.reason) == ISSUED[name]
        assert proven.authorities == ledger.paths[name]


def test_what_no_ca_issued_has_a_proof_without_cas(ledger: ProofLedger) -> None:
    for name in ("issued and unknown", "valid"):
        identity = identify(ledger.certificates[name])
        made, header = ledger.maker.make(identity, ledger.paths["issued"])
        assert made.authorities == ()
        proven = Verifier(ledger.trust, unsafe_unsealed=True).verify(made, identity, header.time)
        assert (proven.status.state is Status.VALID) == (name == "valid")


@pytest.mark.parametrize(
    ("name", "path", "said"),
    [
        ("issued", "issued after the renewal", Refusal.ISSUER_NOT_THEN),
        ("issued after the renewal", "issued", Refusal.ISSUER_NOT_THEN),
        ("issued, replaced CA withdrawn", "issued after that CA", Refusal.ISSUER_NOT_THEN),
        ("issued by a withdrawn CA", "issued", Refusal.OTHER_ISSUER),
    ],
)
def test_another_ca_does_not_stand_in_for_the_issuer(ledger: ProofLedger, name: str, path: str, said: Refusal) -> None:
    identity = identify(ledger.certificates[name])
    with pytest.raises(LedgerUnavailableError) as refused:  # nor does the gateway's maker put such a proof together
        ledger.maker.make(identity, ledger.paths[path])
    assert refused.value.detail.startswith(f"{said}: ")
    made, header = ledger.maker.make(identity, ledger.paths[name])
    other, _ = ledger.maker.make(identify(ledger.certificates[path]), ledger.paths[path])
    for nodes in (made.nodes, other.nodes):
        forged = replace(made, authorities=ledger.paths[path], nodes=nodes)
        with pytest.raises(ProofRefusedError):
            Verifier(ledger.trust, unsafe_unsealed=True).verify(forged, identity, header.time)
