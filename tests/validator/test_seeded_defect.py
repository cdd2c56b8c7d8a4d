"""A contract with a defect on a real ledger: validators do not take its word, and what it let through is rejected.

R-DEV-3: the contract that is deployed here is ours but for one line, which makes every ECDSA signature good.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pki_chain.chain import deployment
from pki_chain.chain.abi import Artifact, load_artifact
from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.signer import Signer
from pki_chain.ports import Status
from pki_chain.validator.run import Validator
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.reasons import Reason
from tests.certificates import Draft, alternative_names, dns, key, key_usage, name, subject_key, validity
from tests.ledger import AUTHORITY, OEM, OPERATOR, VENDOR, Consortium, found_consortium
from tests.validator.opened import open_validator

ROOT = Path(__file__).resolve().parents[2]
PARSER = "contracts/x509/CertificateParser.sol"
VERIFIER = "contracts/x509/SignatureVerifier.sol"
SOUND = "return SignatureVerifier.verifyEcdsa("
DEFECT = "return true || SignatureVerifier.verifyEcdsa("

pytestmark = [pytest.mark.chain, pytest.mark.node, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def defective_parser() -> Artifact:
    """CertificateParser, compiled with the seeded defect."""
    tool = _build_tool()
    sources: dict[str, str] = tool.collect_sources()
    assert sources[PARSER].count(SOUND) == 1, "the line to be spoilt has moved: correct this test"
    sources[PARSER] = sources[PARSER].replace(SOUND, DEFECT)
    profile = tool.foundry_profile()
    wanted = {name: {"content": text} for name, text in sources.items() if _is_needed(name)}
    request = {
        "language": "Solidity",
        "sources": wanted,
        "settings": {
            "evmVersion": profile["evm_version"],
            "viaIR": profile["via_ir"],
            "optimizer": {"enabled": True, "runs": profile["optimizer_runs"]},
            "outputSelection": {PARSER: {"CertificateParser": ["evm.bytecode"]}},
        },
    }
    answer = subprocess.run(
        ["node", ROOT / "tools" / "solc"], input=json.dumps(request).encode(), capture_output=True, check=True, cwd=ROOT
    ).stdout
    compiled: dict[str, Any] = json.loads(answer)
    bytecode = compiled["contracts"][PARSER]["CertificateParser"]["evm"]["bytecode"]["object"]
    return dataclasses.replace(load_artifact("CertificateParser"), bytecode=bytecode)


def _build_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_contracts", ROOT / "tools" / "build_contracts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_needed(unit: str) -> bool:
    """Parser, what it is made of, and libraries; none of the registries, which take longest to compile."""
    return unit.startswith(("contracts/x509/", "contracts/interfaces/", "@"))


@pytest.fixture
def spoilt(tmp_path: Path, defective_parser: Artifact, monkeypatch: pytest.MonkeyPatch) -> Iterator[Consortium]:
    """A consortium whose contract takes any signature for good."""
    monkeypatch.setattr(
        deployment,
        "load_artifact",
        lambda name: defective_parser if name == "CertificateParser" else load_artifact(name),
    )
    with EmbeddedEngine(tmp_path / "ledger", port=0) as engine:
        founded = found_consortium([engine.endpoint], tmp_path)
        yield founded
        founded.close()


def settle(consortium: Consortium, batch: int, *validators: Validator) -> None:
    end = time.monotonic() + 60
    while consortium.ledger.batch(batch).settled_at == 0:
        assert time.monotonic() < end, "not settled in time"
        for validator in validators:
            validator.step()


def draft(consortium: Consortium, number: int, signer: int | None = None) -> bytes:
    now = consortium.now()
    return Draft(
        key=key(number),
        signer=None if signer is None else key(signer),
        subject=name(consortium.members[VENDOR].name),
        validity=validity(now - 60, now + 86_400),
        extensions=(
            subject_key(),
            key_usage(),
            alternative_names(dns(f"{number:012x}.{consortium.members[VENDOR].space}")),
        ),
    ).encode()


def test_validators_catch_what_a_defective_contract_let_through(spoilt: Consortium) -> None:
    good, forged = draft(spoilt, 1), draft(spoilt, 2, signer=3)
    lot = spoilt.open_lot()
    batch = spoilt.submit([good, forged], lot)
    assert spoilt.ledger.batch(batch).present == 0b11, "the seeded defect does not show: the contract refused it"
    rules = "[rules.weak_keys]\n"
    with open_validator(spoilt, OPERATOR, rules) as operator, open_validator(spoilt, AUTHORITY, rules) as authority:
        settle(spoilt, batch, operator, authority)
    states = {which: _state(spoilt, der) for which, der in (("good", good), ("forged", forged))}
    assert states == {"good": Status.VALID, "forged": Status.REJECTED}


def test_a_validator_endorses_once_also_after_a_restart(spoilt: Consortium) -> None:
    lot = spoilt.open_lot()
    batch = spoilt.submit([draft(spoilt, 11)], lot)
    for _ in range(2):
        with open_validator(spoilt, OEM, "[rules]\n") as validator:
            validator.step()  # ends without waiting for its transaction
    with open_validator(spoilt, OEM, "[rules]\n") as validator:
        end = time.monotonic() + 60
        while validator.step() or validator.outbox.pending():
            assert time.monotonic() < end
        nonce = int(spoilt.ledger.connection.request("eth_getTransactionCount", [validator.endorser, "latest"]), 16)
    assert nonce == 1
    assert spoilt.ledger.batch(batch).settled_at == 0, "one member alone decided"


def test_the_endorser_s_key_is_no_other_account(spoilt: Consortium) -> None:
    """A key without the role: what it sends is refused, and no verdict of this member appears."""
    lot = spoilt.open_lot()
    batch = spoilt.submit([draft(spoilt, 21)], lot)
    call = spoilt.calls.endorse(batch, spoilt.ledger.batch(batch).digest, 1, 0, {})
    receipt = spoilt.send(call, Signer.ephemeral())
    assert not receipt.succeeded
    assert "RegistryNotEndorser" in receipt.revert


def _state(consortium: Consortium, der: bytes) -> Status:
    read = parse_certificate(der)
    return consortium.ledger.status_of(read.spki_hash, read.tbs_hash).state


def test_reasons_reach_the_ledger(spoilt: Consortium) -> None:
    from pki_chain.ports import BatchEndorsed  # noqa: PLC0415 - only here

    lot = spoilt.open_lot()
    batch = spoilt.submit([draft(spoilt, 31, signer=32)], lot)
    with open_validator(spoilt, OPERATOR, "[rules]\n") as validator:
        end = time.monotonic() + 60
        while validator.step() or validator.outbox.pending():
            assert time.monotonic() < end
    events = spoilt.ledger.events(0, spoilt.ledger.head().number)
    (endorsed,) = [event.content for event in events if isinstance(event.content, BatchEndorsed)]
    assert (endorsed.batch, endorsed.accepts, endorsed.reasons) == (batch, 0, ((0, int(Reason.BAD_SIGNATURE)),))
