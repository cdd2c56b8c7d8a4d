"""Wycheproof through the contracts' own signature verifier: every vector gets the verdict that it asks for."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from eth_abi import decode, encode
from eth_hash.auto import keccak

from tests.agreement.parser_contract import ROOT, Anvil
from tests.certificates import integer, sequence

HARNESS = Path(__file__).with_name("SignatureHarness.sol")
VECTORS = ROOT / "tests" / "vectors" / "wycheproof"
VERIFY = keccak(b"verify(bytes[],bytes[],bytes[])")[:4]


@pytest.fixture(scope="module")
def bytecode() -> str:
    """The harness, compiled with the settings of foundry.toml."""
    profile = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    sources = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "contracts" / "x509").glob("*.sol")}
    stems = {"SignatureVerifier", "DerReader", "Branchless"}
    wanted = {name: path for name, path in sources.items() if path.stem in stems}
    request = {
        "language": "Solidity",
        "sources": {n: {"content": p.read_text()} for n, p in {**wanted, HARNESS.name: HARNESS}.items()},
        "settings": {
            "evmVersion": profile["evm_version"],
            "viaIR": profile["via_ir"],
            "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
            "outputSelection": {HARNESS.name: {"*": ["evm.bytecode.object"]}},
        },
    }
    answer = subprocess.run(
        ["node", ROOT / "tools" / "solc"], input=json.dumps(request).encode(), capture_output=True, check=True, cwd=ROOT
    )
    output = json.loads(answer.stdout)
    assert not output.get("errors"), output["errors"]
    return "0x" + output["contracts"][HARNESS.name]["SignatureHarness"]["evm"]["bytecode"]["object"]


@pytest.mark.chain
@pytest.mark.node
@pytest.mark.parametrize("file", ["ecdsa_p256_sha256_der.json", "ecdsa_p256_sha256_raw.json"])
def test_vectors(anvil: Anvil, bytecode: str, file: str) -> None:
    asked, expected = [], []
    for group in json.loads((VECTORS / file).read_text())["testGroups"]:
        for vector in group["tests"]:
            signature = bytes.fromhex(vector["sig"])
            if "raw" in file:
                if len(signature) != 64:  # cannot be put into DER: the contract knows no such form
                    continue
                signature = sequence(*(integer(int.from_bytes(half)) for half in (signature[:32], signature[32:])))
            asked.append((bytes.fromhex(vector["msg"]), signature, bytes.fromhex(group["publicKeyUncompressed"])))
            expected.append(vector["result"] == "valid")
    arguments = encode(["bytes[]"] * 3, list(zip(*asked, strict=True)))
    (verdicts,) = decode(["bool[]"], anvil.call(anvil.deploy(bytecode), VERIFY + arguments))
    assert list(verdicts) == expected
    assert len({*expected}) == 2
