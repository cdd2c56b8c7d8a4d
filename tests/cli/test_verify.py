"""`tally trust` and `tally verify` over the embedded ledger: made, signed, compared, believed and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pki_chain.cli.main import main
from pki_chain.proof.proof import parse_proof
from pki_chain.proof.verifier import identify
from tests.ledger import AUTHORITY, OEM, OPERATOR, VENDOR
from tests.proof.conftest import ProofLedger, consortium, ledger, ledger_engine

__all__ = ["consortium", "ledger", "ledger_engine"]

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("proof-ledger")]

Run = Callable[..., tuple[int, dict[str, object]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command with --json: its exit code, and the object that it printed (the failure's, where it printed none)."""

    def command(*arguments: str | Path) -> tuple[int, dict[str, object]]:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--json"])
        printed = capsys.readouterr()
        found = json.loads(printed.out or printed.err.splitlines()[-1])
        assert isinstance(found, dict)
        return int(ended.value.code or 0), found

    return command


@pytest.fixture
def settings(ledger: ProofLedger, tmp_path: Path) -> dict[int, Path]:
    """Each member's tally.toml."""
    found = {}
    for number, member in ledger.consortium.members.items():
        home = ledger.consortium.directory / f"member-{number}"
        found[number] = tmp_path / f"member-{number}.toml"
        found[number].write_text(
            f'[member]\nid = {number}\nname = "{member.name}"\n'
            f'[ledger]\nconsortium = "{ledger.consortium.directory / "consortium.json"}"\n'
            f'[keystore]\ndirectory = "{home / "keystore"}"\npassphrase_file = "{home / "passphrase"}"\n'
        )
    return found


@pytest.fixture
def trust(run: Run, settings: dict[int, Path], tmp_path: Path) -> Path:
    """A trust file that operator and vendor signed."""
    path = tmp_path / "TRUST.json"
    assert run("trust", "export", "--trust", path, "--config", settings[OPERATOR])[0] == 0
    for member in (OPERATOR, VENDOR):
        assert run("trust", "checkpoint", "--trust", path, "--config", settings[member])[0] == 0
    return path


def _stored(ledger: ProofLedger, name: str, directory: Path) -> tuple[Path, Path]:
    """A certificate and its proof, as files."""
    der = ledger.certificates[name]
    certificate, proof = directory / f"{name}.cer", directory / f"{name}.proof"
    certificate.write_bytes(der)
    proof.write_bytes(ledger.maker.make(identify(der), ledger.paths.get(name, ()))[0].cbor())
    return certificate, proof


@pytest.mark.parametrize("state", ["valid", "held", "revoked", "unknown"])
def test_exit_codes_say_what_was_proven(ledger: ProofLedger, run: Run, trust: Path, tmp_path: Path, state: str) -> None:
    code = {"valid": 0, "unknown": 66}.get(state, 77)
    certificate, proof = _stored(ledger, state, tmp_path)
    ended, said = run("verify", certificate, "--proof", proof, "--trust", trust, "--unsafe-unsealed")
    assert (ended, said["state"], said["good"], said["sealed"]) == (code, state, code == 0, False)


@pytest.mark.parametrize(
    "name", ["issued", "issued below three", "issued and held", "issued by a withdrawn CA", "issued and unknown"]
)
def test_the_cas_above_are_told(ledger: ProofLedger, run: Run, trust: Path, tmp_path: Path, name: str) -> None:
    outcomes = {"held": ("held", 77), "CA": ("revoked", 77), "unknown": ("unknown", 66)}
    state, code = outcomes.get(name.rsplit(maxsplit=1)[-1], ("valid", 0))
    certificate, proof = _stored(ledger, name, tmp_path)
    ended, said = run("verify", certificate, "--proof", proof, "--trust", trust, "--unsafe-unsealed")
    assert (ended, said["state"]) == (code, state)
    above = [] if state == "unknown" else ["0x" + each.hex() for each in ledger.paths[name]]
    assert said["authorities"] == above


def test_a_proof_that_names_another_ca_has_no_answer(
    ledger: ProofLedger, run: Run, trust: Path, tmp_path: Path
) -> None:
    certificate, proof = _stored(ledger, "issued by a withdrawn CA", tmp_path)
    made = parse_proof(proof.read_bytes())
    proof.write_bytes(replace(made, authorities=(ledger.paths["issued"][0], *made.authorities[1:])).json())
    code, said = run("verify", certificate, "--proof", proof, "--trust", trust, "--unsafe-unsealed")
    assert (code, said["error"]) == (76, "proof-refused")
    proof.write_bytes(replace(made, authorities=()).cbor())
    code, said = run("verify", certificate, "--proof", proof, "--trust", trust, "--unsafe-unsealed")
    assert (code, str(said["message"]).partition(":")[0]) == (76, "broken-path")


def test_what_proves_nothing_has_an_exit_code_of_its_own(
    ledger: ProofLedger, run: Run, trust: Path, tmp_path: Path
) -> None:
    certificate, proof = _stored(ledger, "valid", tmp_path)
    other, _ = _stored(ledger, "held", tmp_path)
    code, said = run("verify", certificate, "--proof", proof, "--trust", trust)
    assert (code, said["error"]) == (76, "proof-refused")
    assert str(said["message"]).startswith("unsealed: ")
    code, said = run("verify", other, "--proof", proof, "--trust", trust, "--unsafe-unsealed")
    assert (code, str(said["message"]).partition(":")[0]) == (76, "other-certificate")
    proof.write_bytes(b"")
    code, said = run("verify", certificate, "--proof", proof, "--trust", trust, "--unsafe-unsealed")
    assert (code, str(said["message"]).partition(":")[0]) == (76, "malformed-proof")


@pytest.mark.parametrize("arguments", [[], ["--proof", "x", "--gateway", "http://127.0.0.1:9"]])
def test_a_proof_comes_from_one_place(
    ledger: ProofLedger, run: Run, trust: Path, tmp_path: Path, arguments: list[str]
) -> None:
    certificate, _ = _stored(ledger, "valid", tmp_path)
    assert run("verify", certificate, "--trust", trust, *arguments)[0] == 65


def test_a_trust_file_is_worth_nothing_before_enough_members_signed(
    ledger: ProofLedger, run: Run, settings: dict[int, Path], tmp_path: Path
) -> None:
    certificate, proof = _stored(ledger, "valid", tmp_path)
    path = tmp_path / "TRUST.json"
    run("trust", "export", "--trust", path, "--config", settings[OPERATOR])
    run("trust", "checkpoint", "--trust", path, "--config", settings[OPERATOR])
    verify = ("verify", certificate, "--proof", proof, "--trust", path, "--unsafe-unsealed")
    code, said = run(*verify)
    assert (code, str(said["message"]).partition(":")[0]) == (76, "trust-not-signed")
    code, said = run("trust", "checkpoint", "--trust", path, "--config", settings[OPERATOR])
    assert (code, str(said["message"]).partition(":")[0]) == (76, "trust-not-signed")
    code, said = run("trust", "checkpoint", "--trust", path, "--config", settings[OEM])
    assert (code, said["signed_by"]) == (0, [OPERATOR, OEM])
    assert run(*verify)[0] == 0


@pytest.mark.parametrize(
    ("place", "value"), [("age_bound_s", 86_400), ("threshold", 1), ("administrators", []), ("checkpoint", None)]
)
def test_nobody_signs_what_he_does_not_find_himself(
    run: Run, settings: dict[int, Path], tmp_path: Path, place: str, value: object
) -> None:
    path = tmp_path / "TRUST.json"
    run("trust", "export", "--trust", path, "--config", settings[OPERATOR])
    content = json.loads(path.read_text())
    if place == "checkpoint":
        content["checkpoint"]["hash"] = "0x" + "11" * 32
    else:
        content[place] = value
    path.write_text(json.dumps(content))
    code, _ = run("trust", "checkpoint", "--trust", path, "--config", settings[VENDOR])
    assert code == (0 if place == "threshold" else 65)


def test_a_newer_checkpoint_is_taken_from_known_administrators_only(
    ledger: ProofLedger, run: Run, settings: dict[int, Path], trust: Path, tmp_path: Path
) -> None:
    newer = tmp_path / "NEWER.json"
    before = json.loads(trust.read_text())["checkpoint"]["number"]
    ledger.consortium.open_lot()
    run("trust", "export", "--trust", newer, "--config", settings[OPERATOR])
    code, said = run("trust", "update", "--trust", trust, "--checkpoint", newer)
    assert (code, str(said["message"]).partition(":")[0]) == (76, "trust-not-signed")
    for member in (OEM, AUTHORITY):
        run("trust", "checkpoint", "--trust", newer, "--config", settings[member])
    code, said = run("trust", "update", "--trust", trust, "--checkpoint", newer)
    assert code == 0
    assert isinstance(said["block"], int)
    assert said["block"] > before
    code, said = run("trust", "update", "--trust", trust, "--checkpoint", newer)
    assert (code, str(said["message"]).partition(":")[0]) == (76, "header-before-checkpoint")


def test_following_needs_seals_and_one_source(ledger: ProofLedger, run: Run, trust: Path) -> None:
    endpoint = ledger.consortium.ledger.connection.endpoints[0]
    assert run("trust", "update", "--trust", trust, "--endpoint", endpoint)[0] == 65
    assert run("trust", "update", "--trust", trust)[0] == 65


def test_show_tells_the_digest_to_compare(run: Run, trust: Path) -> None:
    code, said = run("trust", "show", "--trust", trust)
    assert (code, said["signed_by"], said["threshold"]) == (0, [OPERATOR, VENDOR], 2)
    assert len(str(said["digest"])) == 66
