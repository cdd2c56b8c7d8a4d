"""The verifier in Go and this package's, on the same vectors, real and tampered: same answers, same refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pki_chain.proof.verifier import identify
from pki_chain.x509.pem import encode_pem
from tests.agreement.proof_cases import negative_cases, proof_cases
from tests.proof.cases import load
from tests.proof.conftest import ProofLedger, consortium, ledger, ledger_engine
from tests.proof.negative_rules import RULES

__all__ = ["consortium", "ledger", "ledger_engine"]

SOURCE = Path(__file__).parents[2] / "examples" / "proof-verifier"
GO = shutil.which("go")

pytestmark = [pytest.mark.go, pytest.mark.skipif(GO is None, reason="no Go tool chain")]


def test_go_answers_every_case_as_python_does(tmp_path: Path) -> None:
    cases = list(proof_cases())
    refused = {case["Refusal"] for case in cases}
    assert len(cases) > 700
    assert len(refused) > 25
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases))
    done = subprocess.run(
        [str(GO), "test", "-mod=readonly", "-count=1", "."],
        cwd=SOURCE,
        env={**os.environ, "TALLY_PROOF_CASES": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


IN_OUR_FORM = {
    "hash-claimed": ("other block hash", "block-hash-mismatch"),
    "proof-code-pin": ("registry of other code", "other-contract"),
    "proof-other-address": ("proof of another under this name", "wrong-node"),
    "proof-slot-missing": ("no nodes", "incomplete-proof"),
}
"""Rules about an `eth_getProof` answer that our proofs carry otherwise, and the case of ours that stands for each."""

WITHOUT_CLAIMS = {"proof-value-claimed", "proof-storage-hash", "proof-code-hash", "proof-absent-account-claims"}
"""Rules about what an answer claims beside its nodes: our proofs claim nothing, what is there comes from the leaves."""


def test_every_rule_of_tampering_is_among_the_cases_with_its_own_reason() -> None:
    ours = {case["Name"]: case["Refusal"] for case in proof_cases()}
    for rule in load("negatives")["rules"]:
        name, wanted = rule["id"], RULES[rule["id"]][1]
        found = {case["Refusal"] for case in negative_cases(rule)}
        if wanted is None:  # under an empty root our proofs have no node at all, so that there is one form
            assert found == ({"", "spare-node"} if name == "proof-empty-trie-node" else {""}), name
        elif name in IN_OUR_FORM:
            case, refusal = IN_OUR_FORM[name]
            assert ours[case] == refusal, name
        elif name not in WITHOUT_CLAIMS:
            assert wanted.value in found, name


@pytest.mark.chain
@pytest.mark.xdist_group("proof-ledger")
def test_the_go_command_answers_about_real_certificates(ledger: ProofLedger, tmp_path: Path) -> None:
    program = tmp_path / "proof-verifier"
    subprocess.run([str(GO), "build", "-mod=readonly", "-o", str(program), "."], cwd=SOURCE, check=True)
    trust = tmp_path / "TRUST.json"
    trust.write_bytes(ledger.trust.encoded())
    states = {"valid": ("valid", 0), "held": ("held", 77), "revoked": ("revoked", 77), "unknown": ("unknown", 66)}
    states |= {
        "issued": ("valid", 0),
        "issued under RSA": ("valid", 0),
        "issued below three": ("valid", 0),
        "issued for any purpose": ("valid", 0),
        "issued for IKE": ("valid", 0),
        "issued for TLS": ("valid", 0),
        "issued by a withdrawn CA": ("revoked", 77),
        "issued and unknown": ("unknown", 66),
    }
    for name, (state, code) in states.items():
        der = ledger.certificates[name]
        path = ledger.paths.get(name, ())
        certificate, proof = tmp_path / f"{name}.cer", tmp_path / f"{name}.proof"
        certificate.write_bytes(encode_pem("CERTIFICATE", der).encode() if code else der)
        proof.write_bytes(ledger.maker.make(identify(der), path)[0].cbor())
        command = [str(program), "-proof", str(proof), "-trust", str(trust)]
        done = subprocess.run(
            [*command, "-unsafe-unsealed", str(certificate)], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        said = json.loads(done.stdout)
        assert (said["state"], said["authorities"]) == (
            state,
            [] if code == 66 else ["0x" + each.hex() for each in path],
        )
        refused = subprocess.run([*command, str(certificate)], capture_output=True, text=True, check=False)
        assert refused.returncode == 76
        assert refused.stderr.startswith("error: unsealed: ")
