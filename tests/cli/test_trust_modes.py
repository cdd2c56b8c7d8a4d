"""`tally trust` and `tally verify` where the engine seals, in both modes: our own contracts under sealed headers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from pki_chain.chain.connection import Connection
from pki_chain.chain.proofs import ProofMaker
from pki_chain.chain.signer import Signer
from pki_chain.proof.seals import SealerMode
from pki_chain.proof.trust import parse_trust
from pki_chain.proof.verifier import identify
from tests.cli.test_verify import Run, run
from tests.ledger import OPERATOR, VENDOR
from tests.proof.conftest import ProofLedger, consortium, ledger, ledger_engine
from tests.proof.recorded_node import serve
from tests.proof.sealing_node import SealingNode
from tests.proof.synthetic import FIRST_SEALERS, LATER_SEALERS

__all__ = ["consortium", "ledger", "ledger_engine", "run"]

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("proof-ledger")]

OTHER_SEALERS = LATER_SEALERS[1:]


@dataclass
class Sealed:
    """A sealed view of the ledger, and another one whose sealers are others; a member's settings for each."""

    mode: SealerMode
    ledger: ProofLedger
    endpoint: str
    other: str
    directory: Path
    contract: str

    @property
    def trust(self) -> Path:
        return self.directory / "TRUST.json"

    def settings(self, member: int, endpoint: str = "") -> Path:
        founded = self.ledger.consortium
        home, path = founded.directory / f"member-{member}", self.directory / f"member-{member}.toml"
        path.write_text(
            f'[member]\nid = {member}\nname = "{founded.members[member].name}"\n'
            f'[ledger]\nconsortium = "{founded.directory / "consortium.json"}"\n'
            f'endpoints = ["{endpoint or self.endpoint}"]\n'
            f'[keystore]\ndirectory = "{home / "keystore"}"\npassphrase_file = "{home / "passphrase"}"\n'
        )
        return path

    def export(self, *more: str) -> list[str]:
        options = ["--mode", self.mode.value, *more]
        return ["trust", "export", "--trust", str(self.trust), *options, "--config", str(self.settings(OPERATOR))]

    @property
    def terms(self) -> list[str]:
        if self.mode is SealerMode.HEADER:
            return ["--epoch-length", "2"]
        return ["--sealer-contract", self.contract, "--sealer-slot", "3"]


@pytest.fixture(params=[SealerMode.HEADER, SealerMode.CONTRACT], ids=lambda mode: mode.value)
def sealed(request: pytest.FixtureRequest, ledger: ProofLedger, tmp_path: Path) -> Iterator[Sealed]:
    connection = ledger.consortium.ledger.connection
    contract = deploy_sealers(connection) if request.param is SealerMode.CONTRACT else ""
    endpoint = connection.endpoints[0]
    with ExitStack() as nodes:
        first, other = (
            nodes.enter_context(serve(SealingNode(endpoint, request.param, sealers)))  # type: ignore[arg-type]
            for sealers in (FIRST_SEALERS, OTHER_SEALERS)
        )
        yield Sealed(request.param, ledger, first, other, tmp_path, contract)


def deploy_sealers(connection: Connection) -> str:
    """A contract whose slot 3 is an `address[]` of the sealers, as an engine's validator contract has it; its code is
    one byte, its storage is written by what creates it."""
    first = int.from_bytes(keccak((3).to_bytes(32)))
    words = {3: len(FIRST_SEALERS)} | {first + at: int.from_bytes(each) for at, each in enumerate(FIRST_SEALERS)}
    push, store = b"\x7f", b"\x55"
    writes = b"".join(push + word.to_bytes(32) + push + slot.to_bytes(32) + store for slot, word in words.items())
    returns_one_byte = bytes.fromhex("60016000f3")
    raw, digest = Signer.ephemeral().sign_transaction(
        None, writes + returns_one_byte, nonce=0, gas=1_000_000, chain_id=connection.chain_id()
    )
    connection.request("eth_sendRawTransaction", ["0x" + raw.hex()])
    deadline = time.monotonic() + 30
    while (receipt := connection.request("eth_getTransactionReceipt", ["0x" + digest.hex()])) is None:
        assert time.monotonic() < deadline, "no receipt in time"
        time.sleep(0.05)
    return str(receipt["contractAddress"])


def test_what_the_engine_sealed_is_believed_without_any_trust_in_the_node(
    sealed: Sealed, run: Run, tmp_path: Path
) -> None:
    assert run(*sealed.export(*sealed.terms))[0] == 0
    made = parse_trust(sealed.trust.read_bytes())
    assert (made.terms.sealing.mode, set(made.checkpoint.sealers)) == (sealed.mode, set(FIRST_SEALERS))
    for member in (OPERATOR, VENDOR):
        assert run("trust", "checkpoint", "--trust", sealed.trust, "--config", sealed.settings(member))[0] == 0
    sealed.ledger.consortium.open_lot()
    code, said = run("trust", "update", "--trust", sealed.trust, "--endpoint", sealed.endpoint)
    assert (code, said["sealers"]) == (0, len(FIRST_SEALERS))
    assert int(str(said["block"])) > made.checkpoint.number
    maker = ProofMaker(sealed.ledger.consortium.file, Connection([sealed.endpoint]))
    states = {"valid": 0, "held": 77, "revoked": 77, "unknown": 66}
    issued = {"issued below three": "valid", "issued by a withdrawn CA": "revoked"}
    for name in (*states, *issued):
        state = issued.get(name, name)
        der = sealed.ledger.certificates[name]
        certificate, proof = tmp_path / f"{name}.cer", tmp_path / f"{name}.proof"
        certificate.write_bytes(der)
        proof.write_bytes(maker.make(identify(der), sealed.ledger.paths.get(name, ()))[0].cbor())
        code, said = run("verify", certificate, "--proof", proof, "--trust", sealed.trust)
        assert (code, said["state"], said["sealed"]) == (states[state], state, True)


def test_other_sealers_prove_nothing_and_move_no_trust_file(sealed: Sealed, run: Run, tmp_path: Path) -> None:
    run(*sealed.export(*sealed.terms))
    code, said = run("trust", "checkpoint", "--trust", sealed.trust, "--config", sealed.settings(VENDOR, sealed.other))
    assert code == 65  # her own node has other sealers, or another block
    for member in (OPERATOR, VENDOR):
        run("trust", "checkpoint", "--trust", sealed.trust, "--config", sealed.settings(member))
    before = sealed.trust.read_bytes()
    sealed.ledger.consortium.open_lot()
    code, said = run("trust", "update", "--trust", sealed.trust, "--endpoint", sealed.other)
    assert (code, sealed.trust.read_bytes()) == (76, before)
    der = sealed.ledger.certificates["valid"]
    certificate, proof = tmp_path / "valid.cer", tmp_path / "valid.proof"
    certificate.write_bytes(der)
    maker = ProofMaker(sealed.ledger.consortium.file, Connection([sealed.other]))
    proof.write_bytes(maker.make(identify(der))[0].cbor())
    code, said = run("verify", certificate, "--proof", proof, "--trust", sealed.trust)
    expected = "wrong-sealer-list" if sealed.mode is SealerMode.HEADER else "foreign-seal"
    assert (code, str(said["message"]).partition(":")[0]) == (76, expected)
    trusted = json.loads(before)
    assert trusted["followed"] is None


def test_a_mode_wants_its_terms(sealed: Sealed, run: Run) -> None:
    assert run(*sealed.export())[0] == 65
    if sealed.mode is SealerMode.CONTRACT:
        assert run(*sealed.export("--sealer-contract", "0x77"))[0] == 65
        code, said = run(*sealed.export("--sealer-contract", "0x" + "78" * 20))
        assert (code, said["error"]) == (76, "proof-refused")
    assert not sealed.trust.exists()
