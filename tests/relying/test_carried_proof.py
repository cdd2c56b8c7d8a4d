"""Proofs that devices carry: who is met where no gateway can be asked, and for how long that is good enough."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509

from pki_chain.carried_proof import ProofFolder
from pki_chain.errors import StorageError
from pki_chain.proof.errors import ProofRefusedError
from pki_chain.proof.verifier import identify
from pki_chain.relying_party import NotTrustedError, OcspSource, RelyingParty
from pki_chain.x509.pem import encode_pem
from tests.proof.conftest import ProofLedger, consortium, ledger, ledger_engine
from tests.relying.issuer import store_pem

__all__ = ["consortium", "ledger", "ledger_engine"]

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("proof-ledger")]

DAY_S = 86_400


@dataclass
class Carried:
    """The folder of a device on a site without a network, and its clock."""

    ledger: ProofLedger
    directory: Path
    trust: Path
    now: float
    party: RelyingParty
    age: int = 0

    def fetch(self, name: str) -> bytes:
        """A proof of now, as the device fetched it while it had a connection."""
        path = self.ledger.paths.get(name, ())
        proof, header = self.ledger.maker.make(identify(self.ledger.certificates[name]), path)
        self.now = max(self.now, float(header.time))
        return proof.cbor()

    def put(self, name: str, proof: bytes, *, label: str = "", suffix: str = ".cer") -> None:
        der = self.ledger.certificates[name]
        path = self.directory / f"{label or name}{suffix}"
        path.write_bytes(der if suffix == ".cer" else encode_pem("CERTIFICATE", der).encode())
        path.with_suffix(".proof").write_bytes(proof)
        self.age += 1
        os.utime(path.with_suffix(".proof"), (self.age, self.age))  # seen as changed, however fast this runs

    def reason(self, name: str) -> str:
        try:
            self.party.check(self.ledger.certificates[name])
        except NotTrustedError as error:
            return error.reason
        return "accepted"


@pytest.fixture
def carried(ledger: ProofLedger, tmp_path: Path) -> Carried:
    (tmp_path / "peers").mkdir()
    trust = tmp_path / "TRUST.json"
    trust.write_bytes(ledger.trust.encoded())
    folder = ProofFolder(tmp_path / "peers", trust, DAY_S, unsafe_unsealed=True)
    made = Carried(ledger, tmp_path / "peers", trust, float(ledger.now()), None)  # type: ignore[arg-type]
    made.party = RelyingParty([folder], max_age_s=0.0, clock=lambda: made.now)
    return made


def test_who_brought_a_proof_that_is_young_enough_comes_in(carried: Carried) -> None:
    assert carried.reason("valid") == "unavailable"
    carried.put("valid", carried.fetch("valid"))
    assert carried.reason("valid") == "accepted"
    made_at = carried.now
    carried.now = made_at + DAY_S
    assert carried.reason("valid") == "accepted"
    carried.now = made_at + DAY_S + 1
    assert carried.reason("valid") == "unavailable"
    carried.now = made_at - 16
    carried.put("valid", carried.fetch("valid"), suffix=".pem")
    assert carried.reason("valid") == "accepted"


@pytest.mark.parametrize("name", ["held", "revoked", "unknown"])
def test_a_proof_of_anything_else_lets_nobody_in(carried: Carried, name: str) -> None:
    carried.put(name, carried.fetch(name))
    assert carried.reason(name) == name


def test_who_has_a_ca_brings_proofs_too_and_is_not_listed_one_by_one(carried: Carried) -> None:
    carried.put("issued below three", carried.fetch("issued below three"))
    carried.put("issued by a withdrawn CA", carried.fetch("issued by a withdrawn CA"))
    assert carried.reason("issued below three") == "accepted"
    assert carried.reason("issued by a withdrawn CA") == "revoked"
    folder = ProofFolder(carried.directory, carried.trust, DAY_S, unsafe_unsealed=True)
    assert folder.certificates(carried.now) == {}


def test_another_s_proof_or_none_lets_nobody_in(carried: Carried) -> None:
    proof = carried.fetch("valid")
    carried.put("held", proof)
    assert carried.reason("held") == "unavailable"
    for content in (b"", b"{", proof[:-1], bytes(2 << 20)):
        carried.put("valid", content)
        assert carried.reason("valid") == "unavailable"
    (carried.directory / "alone.proof").write_bytes(proof)
    store_pem(carried.directory / "odd.pem")
    (carried.directory / "odd.proof").write_bytes(proof)
    carried.put("valid", proof)
    assert carried.reason("valid") == "accepted"


def test_an_older_proof_does_not_undo_a_newer_one(carried: Carried) -> None:
    older = carried.fetch("valid")
    carried.ledger.consortium.open_lot()
    carried.put("valid", carried.fetch("valid"))
    assert carried.reason("valid") == "accepted"
    carried.put("valid", older)
    assert carried.reason("valid") == "unavailable"


def test_who_is_not_told_to_believes_no_unsealed_proof(carried: Carried) -> None:
    carried.put("valid", carried.fetch("valid"))
    folder = ProofFolder(carried.directory, carried.trust, DAY_S)
    assert folder.certificates(carried.now) == {}
    believing = ProofFolder(carried.directory, carried.trust, DAY_S, unsafe_unsealed=True)
    der = carried.ledger.certificates["valid"]
    head = carried.ledger.consortium.ledger.head().number
    assert believing.certificates(carried.now) == {der: head}


def test_a_trust_file_that_changes_counts_at_once(carried: Carried) -> None:
    carried.put("valid", carried.fetch("valid"))
    assert carried.reason("valid") == "accepted"
    carried.trust.write_bytes(replace(carried.ledger.trust, signatures=()).encoded())
    assert carried.reason("valid") == "unavailable"
    with pytest.raises(ProofRefusedError):
        ProofFolder(carried.directory, carried.trust, DAY_S)
    carried.trust.write_bytes(carried.ledger.trust.encoded())
    assert carried.reason("valid") == "accepted"
    carried.trust.unlink()
    assert carried.reason("valid") == "unavailable"
    with pytest.raises(StorageError):
        ProofFolder(carried.directory, carried.trust, DAY_S)


def test_a_gateway_comes_first_where_there_is_one(carried: Carried) -> None:
    """Sources are asked in order: the folder only where nobody answers."""
    carried.put("valid", carried.fetch("valid"))
    folder = ProofFolder(carried.directory, carried.trust, DAY_S, unsafe_unsealed=True)
    signer = x509.load_der_x509_certificate(carried.ledger.certificates["valid"])  # of a gateway that is away
    away = OcspSource("http://127.0.0.1:9", [signer])
    party = RelyingParty([away, folder], clock=lambda: carried.now)
    assert party.check(carried.ledger.certificates["valid"])


def test_a_folder_that_is_none(carried: Carried, tmp_path: Path) -> None:
    folder = ProofFolder(tmp_path / "none", carried.trust, DAY_S, unsafe_unsealed=True)
    with pytest.raises(StorageError, match="none"):
        folder.certificates(carried.now)
