"""Founding by members at several places: each has its own directory and keys, and signs nothing unverified."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from pki_chain.chain import deployment as deployment_module
from pki_chain.chain.abi import Artifact
from pki_chain.chain.connection import Connection
from pki_chain.chain.engine.embedded import EmbeddedEngine
from pki_chain.chain.ledger import LedgerClient
from pki_chain.chain.signer import Signer
from pki_chain.chain.typed_data import TypedTexts
from pki_chain.cli.main import main
from pki_chain.config import MemberConfig
from pki_chain.founding.founding_file import load_founding
from pki_chain.ports import MemberKind
from tests.ledger import ledger_engine

__all__ = ["ledger_engine"]

pytestmark = [pytest.mark.chain, pytest.mark.xdist_group("founding ceremony")]

BAD_INPUT, REFUSED, STORAGE, CONFIGURATION = 65, 77, 74, 78
PLACES = {
    "tiger": ("operator", "Tiger Mobile", "dns:tiger.example"),
    "acme": ("vendor", "Acme Cells", "dns:cells.acme.example"),
    "cedar": ("certificate-authority", "Cedar Trust", "dns:cedar.example"),
}
Tally = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def tally(capsys: pytest.CaptureFixture[str]) -> Tally:
    """Run a command in this process: exit code, the object that it printed, its standard error."""

    def run(*arguments: object) -> tuple[int, dict[str, Any], str]:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--json"])
        output = capsys.readouterr()
        return int(ended.value.code or 0), json.loads(output.out or "{}"), output.err

    return run


@pytest.fixture
def rpc(ledger_engine: EmbeddedEngine) -> str:
    return ledger_engine.endpoint


@pytest.fixture
def places(tmp_path: Path, tally: Tally) -> dict[str, Path]:
    """A directory for each founder, prepared where it is."""
    for label, (kind, name, space) in PLACES.items():
        options = ("--kind", kind, "--name", name, "--space", space, "--port", 8080)
        code, _, error = tally("consortium", "prepare", tmp_path / label, *options)
        assert code == 0, error
    return {label: tmp_path / label for label in PLACES}


@pytest.fixture
def founding(tmp_path: Path, tally: Tally, places: dict[str, Path], rpc: str) -> Path:
    """A plan of all three; only their public files were given away."""
    given = tmp_path / "given"
    given.mkdir()
    files = [shutil.copy(path / "founder.json", given / f"{label}.json") for label, path in places.items()]
    code, _, error = tally("consortium", "plan", *files, "--rpc", rpc, "--out", tmp_path / "founding.json")
    assert code == 0, error
    return tmp_path / "founding.json"


def sign(tally: Tally, founding: Path, place: Path, rpc: str, *more: object) -> tuple[int, dict[str, Any], str]:
    return tally("consortium", "sign", founding, "--directory", place, "--rpc", rpc, "--yes", *more)


def sign_all(tally: Tally, founding: Path, places: dict[str, Path], rpc: str) -> list[Path]:
    for place in places.values():
        code, _, error = sign(tally, founding, place, rpc)
        assert code == 0, error
    return [place / "signature.json" for place in places.values()]


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_members_at_three_places_found_a_consortium(
    tmp_path: Path, tally: Tally, founding: Path, places: dict[str, Path], rpc: str
) -> None:
    signatures = sign_all(tally, founding, places, rpc)
    out = tmp_path / "consortium.json"
    code, founded, error = tally("consortium", "found", founding, *reversed(signatures), "--rpc", rpc, "--out", out)
    assert code == 0, error
    for number, (label, place) in enumerate(places.items(), 1):
        config = MemberConfig.load(place / "tally.toml", {})
        file = config.load_consortium()
        assert config.member.id == number
        assert file.consortium == founded["consortium"]
        member = LedgerClient(file).member(number)
        assert member is not None
        assert member.name == PLACES[label][1]
    assert LedgerClient(file).member_count() == 3
    assert LedgerClient(file).electorate(1).quorum == 2
    again = tally("consortium", "found", founding, *signatures, "--rpc", rpc, "--out", tmp_path / "other.json")
    assert again[0] == REFUSED
    assert "founded already" in again[2]


def test_prepared_directories_are_private_and_the_public_file_has_no_secret(places: dict[str, Path]) -> None:
    place = places["acme"]
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    passphrase = (place / "keystore" / "passphrase").read_text().strip()
    public = (place / "founder.json").read_text()
    assert passphrase not in public
    assert not re.search("ciphertext|private", public)
    assert json.loads(public)["kind"] == MemberKind.VENDOR.name.lower()


def test_keys_are_never_written_over(tally: Tally, places: dict[str, Path]) -> None:
    code, _, error = tally("consortium", "prepare", places["acme"], "--kind", "oem", "--name", "Other")
    assert code == STORAGE
    assert "exists already" in error


def test_a_prepared_member_without_a_number_is_told_so(tally: Tally, places: dict[str, Path]) -> None:
    code, _, error = tally("consortium", "members", "--config", places["acme"] / "tally.toml")
    assert code == CONFIGURATION
    assert "member.id" in error


def test_what_is_signed_is_shown_first_and_may_be_declined(
    founding: Path,
    places: dict[str, Path],
    rpc: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    with pytest.raises(SystemExit) as ended:
        main(["consortium", "sign", str(founding), "--directory", str(places["acme"]), "--rpc", rpc])
    shown = capsys.readouterr().err
    assert ended.value.code == 130
    assert "member 2: Acme Cells, vendor (this member)" in shown
    for part in ("dns:cedar.example", "electorate: 1, 2, 3; k = 2", "as in this package", "delay 172800 s", "86400 s"):
        assert part in shown
    assert json.loads(founding.read_text())["founding_hash"] in shown
    assert not (places["acme"] / "signature.json").exists()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda plan: plan.update(quorum=3), "founding hash is not that of its content"),
        (lambda plan: plan["parameters"].update(delay_s=0), "founding hash is not that of its content"),
        (lambda plan: plan["profiles"][0].update(k=1), "founding hash is not that of its content"),
        (lambda plan: plan["members"][1].update(stations=["0x" + "11" * 20]), "something else of Acme Cells"),
        (lambda plan: plan["members"][1].update(spaces=[]), "something else of Acme Cells"),
        (lambda plan: plan["members"].pop(1), "Acme Cells is not in the plan"),
        (lambda plan: plan["founders"].reverse(), "is not what this version of the package makes"),
        (lambda plan: plan["ledger"].update(salt="0x" + "00" * 32), "is not what this version of the package makes"),
        (lambda plan: plan["ledger"].update(chain_id=1), "chain id"),
        (lambda plan: plan["ledger"].update(libraries={}), "exactly the libraries"),
        (lambda plan: plan["ledger"]["libraries"].update({"../x": "0x" + "11" * 20}), "exactly the libraries"),
        (lambda plan: plan["ledger"].update(directory=plan["ledger"]["consortium"]), "code of Directory"),
        (lambda plan: plan["ledger"].update(consortium="0x" + "11" * 20), "code of Consortium"),
        (
            lambda plan: plan["ledger"]["code_hashes"].update(Consortium="0x" + "11" * 32),
            "code hashes or Directory entries",
        ),
        (lambda plan: plan.update(replacement_delay_s=3600), "code of IdentityRegistry"),
        (lambda plan: plan.update(replacement_delay_s=1), "IdentityBadDelay"),
        (lambda plan: plan.update(replacement_delay_s=1 << 32), "replacement_delay_s"),
        (
            lambda plan: plan["ledger"].update(identity_registry=plan["ledger"]["certificate_registry"]),
            "code of IdentityRegistry",
        ),
        (lambda plan: plan.update(extra=1), "extra is missing or unknown"),
        (lambda plan: plan.pop("quorum"), "quorum is missing or unknown"),
        (lambda plan: plan.update(quorum="2"), "quorum: '2' is not a whole number"),
        (lambda plan: plan["ledger"].update(consortium="0x12"), "is not an address"),
    ],
)
def test_a_changed_plan_is_not_signed(  # noqa: PLR0917 - fixtures
    tally: Tally, founding: Path, places: dict[str, Path], rpc: str, edit: Callable[[dict[str, Any]], object], said: str
) -> None:
    change(founding, edit)
    code, _, error = sign(tally, founding, places["acme"], rpc)
    assert code in {BAD_INPUT, REFUSED}
    assert said in error
    assert not (places["acme"] / "signature.json").exists()


def test_a_plan_changed_with_its_hash_is_noticed_by_what_was_told_by_telephone(
    tally: Tally, founding: Path, places: dict[str, Path], rpc: str
) -> None:
    """Whoever made the plan makes another one of it: its hash fits, but it is not the one that was agreed on."""
    code, _, error = sign(tally, founding, places["acme"], rpc, "--founding-hash", "0x" + "ab" * 32)
    assert code == BAD_INPUT
    assert "do not sign" in error


def test_a_plan_changed_after_it_was_signed_is_not_founded(
    tmp_path: Path, tally: Tally, founding: Path, places: dict[str, Path], rpc: str
) -> None:
    signatures = sign_all(tally, founding, places, rpc)
    deployment = load_founding(founding, (rpc,))
    change(founding, lambda plan: plan.update(quorum=3))
    out = ("--rpc", rpc, "--out", tmp_path / "consortium.json")
    code, _, error = tally("consortium", "found", founding, *signatures, *out)
    assert code == REFUSED
    assert "founding hash is not that of its content" in error
    change(founding, lambda plan: plan.update(founding_hash="0x" + "11" * 32))
    code, _, error = tally("consortium", "found", founding, *signatures, *out)
    assert code == BAD_INPUT
    assert "signs another plan" in error
    assert LedgerClient(deployment.file).member_count() == 0


def test_a_missing_signature_is_named(
    tmp_path: Path, tally: Tally, founding: Path, places: dict[str, Path], rpc: str
) -> None:
    signatures = sign_all(tally, founding, places, rpc)
    given = (*signatures[:2], signatures[0])
    code, _, error = tally("consortium", "found", founding, *given, "--rpc", rpc, "--out", tmp_path / "c.json")
    assert code == BAD_INPUT
    assert "the signature of Cedar Trust (0x" in error
    assert not (tmp_path / "c.json").exists()


def test_a_foreign_signature_is_named(
    tmp_path: Path, tally: Tally, founding: Path, places: dict[str, Path], rpc: str
) -> None:
    signatures = sign_all(tally, founding, places, rpc)
    deployment = load_founding(founding, (rpc,))
    stranger = Signer.ephemeral()
    signature = stranger.sign(TypedTexts(deployment.file).found(deployment.file.founding_hash))
    change(signatures[2], lambda content: content.update(signature="0x" + signature.hex()))
    out = ("--rpc", rpc, "--out", tmp_path / "c.json")
    code, _, error = tally("consortium", "found", founding, *signatures, *out)
    assert code == BAD_INPUT
    assert f"signed by {stranger.address}, who is no founder" in error
    change(signatures[2], lambda content: content.update(signature="0x" + "00" * 65))
    assert "holds no signature" in tally("consortium", "found", founding, *signatures, *out)[2]
    signatures[2].write_text("{}")
    assert "no signature of a founding" in tally("consortium", "found", founding, *signatures, *out)[2]


def test_other_code_on_the_ledger_is_not_signed(
    tmp_path: Path,
    tally: Tally,
    places: dict[str, Path],
    rpc: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever made the plan deployed a Consortium of its own making: its hash is in the plan, as it should be."""
    files = [place / "founder.json" for place in places.values()]
    sound = deployment_module.load_artifact
    with monkeypatch.context() as patch:
        patch.setattr(deployment_module, "load_artifact", lambda name: _spoil(sound(name)))
        code, _, error = tally("consortium", "plan", *files, "--rpc", rpc, "--out", tmp_path / "founding.json")
        assert code == 0, error
    code, _, error = sign(tally, tmp_path / "founding.json", places["acme"], rpc)
    assert code == REFUSED
    assert "The code of Directory" in error
    assert "is not what this version of the package makes" in error


def _spoil(artifact: Artifact) -> Artifact:
    """A Directory that answers `current` under another name."""
    if artifact.name != "Directory":
        return artifact
    selector = keccak(b"current(bytes32)")[:4].hex()
    assert artifact.bytecode.count(selector) == 1
    return dataclasses.replace(artifact, bytecode=artifact.bytecode.replace(selector, "deadbeef"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--quorum", "4"), "quorum 4 is not at least 2 and at most the 3"),
        (("--electorate", "1,2,9"), "name each member once, by 1 to 3"),
        (("--electorate", "1,1"), "name each member once"),
        (("--electorate", "one"), "is not numbers with commas"),
    ],
)
def test_a_plan_that_cannot_hold_is_not_deployed(  # noqa: PLR0917 - fixtures
    tmp_path: Path, tally: Tally, places: dict[str, Path], rpc: str, options: tuple[str, ...], said: str
) -> None:
    before = Connection([rpc]).request("eth_blockNumber", [])
    files = [place / "founder.json" for place in places.values()]
    code, _, error = tally("consortium", "plan", *files, "--rpc", rpc, "--out", tmp_path / "f.json", *options)
    assert code == BAD_INPUT
    assert said in error
    twice = tally("consortium", "plan", *files, files[0], "--rpc", rpc, "--out", tmp_path / "f.json")
    assert twice[0] == BAD_INPUT
    assert "Tiger Mobile is given twice" in twice[2]
    assert Connection([rpc]).request("eth_blockNumber", []) == before
    assert not (tmp_path / "f.json").exists()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda member: member.update(kind="king"), "kind 'king' is not one of"),
        (lambda member: member.update(name=""), "name must have 1 to 64"),
        (lambda member: member.update(spaces=["acme"]), "name space 'acme' is not one of"),
        (lambda member: member.update(stations="0x11"), "stations must be a list"),
        (lambda member: member.update(administrators=[]), "administrators is empty"),
        (lambda member: member.update(endorsers=["0x11"]), "'0x11' is not an address"),
        (lambda member: member.update(passphrase="x"), "unknown key 'passphrase'"),
    ],
)
def test_other_founder_files_are_refused(  # noqa: PLR0917 - fixtures
    tmp_path: Path, tally: Tally, places: dict[str, Path], rpc: str, edit: Callable[[dict[str, Any]], object], said: str
) -> None:
    files = [place / "founder.json" for place in places.values()]
    change(files[1], edit)
    code, _, error = tally("consortium", "plan", *files, "--rpc", rpc, "--out", tmp_path / "f.json")
    assert code == BAD_INPUT
    assert said in error
    assert "founder.json" in error
