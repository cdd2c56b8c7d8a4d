"""The one call with proofs: the gateway is believed in nothing."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from pki_chain.config import GatewaySection, LedgerSection, MemberConfig, MemberSection
from pki_chain.gateway.app import create_app
from pki_chain.gateway.services import INDEX_FILE
from pki_chain.index.indexer import Indexer
from pki_chain.proof.verifier import Verifier
from pki_chain.relying_party import NotTrustedError, ProofSource, RelyingParty
from tests.certificates import key
from tests.gateway.conftest import Clock
from tests.proof.conftest import ProofLedger, consortium, ledger, ledger_engine
from tests.proof.issued import FIRST_KEY
from tests.relying.conftest import served
from tests.relying.issuer import store_pem
from tests.relying.test_peer_purpose import shake

__all__ = ["consortium", "ledger", "ledger_engine"]

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("proof-ledger")]


@pytest.fixture
def clock(ledger: ProofLedger) -> Clock:
    return Clock(ledger.now() + 1.0)


@pytest.fixture
def proving(ledger: ProofLedger, clock: Clock, tmp_path: Path) -> Iterator[str]:
    """Address of a gateway that follows the ledger."""
    ledger.consortium.file.store(tmp_path / "consortium.json")
    config = MemberConfig(
        path=tmp_path / "tally.toml",
        member=MemberSection(1, "Tiger Mobile"),
        ledger=LedgerSection(tmp_path / "consortium.json", timeout_s=10.0),
        gateway=GatewaySection(data=tmp_path / "data"),
    )
    reader = ledger.consortium.ledger
    with Indexer(config.gateway.data / INDEX_FILE, reader, ledger.consortium.file.founding_block) as indexer:
        while indexer.advance().number < ledger.trust.checkpoint.number:
            pass
        with served(create_app(config, clock).wsgi_app) as address:
            yield address


def test_states_are_proven(ledger: ProofLedger, clock: Clock, proving: str) -> None:
    source = ProofSource(proving, Verifier(ledger.trust, unsafe_unsealed=True))
    party = RelyingParty([source], clock=clock)
    verdict = party.check(ledger.certificates["valid"])
    assert verdict.known_until <= clock() + 5
    for state in ("held", "revoked", "unknown"):
        with pytest.raises(NotTrustedError) as refused:
            party.check(ledger.certificates[state])
        assert refused.value.reason == state


def test_states_of_what_a_ca_issued_are_proven(ledger: ProofLedger, clock: Clock, proving: str) -> None:
    source = ProofSource(proving, Verifier(ledger.trust, unsafe_unsealed=True))
    party = RelyingParty([source], clock=clock)
    for name in ("issued", "issued under RSA", "issued below three"):
        assert party.check(ledger.certificates[name]).certificate.der == ledger.certificates[name]
    for name, reason in {
        "issued and held": "held",
        "issued by a withdrawn CA": "revoked",
        "issued, replaced CA withdrawn": "revoked",
        "issued and unknown": "unknown",
    }.items():
        with pytest.raises(NotTrustedError) as refused:
            party.check(ledger.certificates[name])
        assert refused.value.reason == reason


@pytest.mark.parametrize("name", ["issued", "issued for IKE", "issued for TLS", "issued under both"])
def test_a_proof_lets_nobody_into_tls_whose_ca_is_not_for_it(
    ledger: ProofLedger, clock: Clock, proving: str, tmp_path: Path, name: str
) -> None:
    """A CA for IKE alone issues what says no purpose, and TLS software takes that."""
    party = RelyingParty([ProofSource(proving, Verifier(ledger.trust, unsafe_unsealed=True))], clock=clock)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    own = key(FIRST_KEY + list(ledger.paths).index(name))
    pkcs8 = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "own.key").write_bytes(pkcs8)
    server.load_cert_chain(store_pem(tmp_path / "own.pem", ledger.certificates[name]), tmp_path / "own.key")
    peer = shake(client, server)[0]
    if name in {"issued", "issued for IKE"}:
        with pytest.raises(NotTrustedError) as refused:
            party.check_peer(peer)
        assert refused.value.reason == "purpose"
    else:
        assert party.check_peer(peer).is_for_tls


def test_what_proves_nothing_lets_nobody_in(ledger: ProofLedger, clock: Clock, proving: str) -> None:
    sealed_only = ProofSource(proving, Verifier(ledger.trust))
    with pytest.raises(NotTrustedError) as refused:
        RelyingParty([sealed_only], clock=clock).check(ledger.certificates["valid"])
    assert refused.value.reason == "unavailable"
    assert "proves nothing" in refused.value.detail
    late = Clock(clock() + 120)
    source = ProofSource(proving, Verifier(ledger.trust, unsafe_unsealed=True))
    with pytest.raises(NotTrustedError) as refused:
        RelyingParty([source], clock=late).check(ledger.certificates["valid"])
    assert refused.value.reason == "unavailable"
