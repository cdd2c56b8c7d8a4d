"""Proofs of the embedded ledger: the same answer as `statusOf`, in every state; what is not sealed is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
