"""`tally sim` on a card file, as people and programs run it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from sim_applet_tools.cli import sim
from sim_applet_tools.cli.card_choice import emulated_card
from sim_applet_tools.emulator import keystore
from sim_applet_tools.emulator.image import new_image
from sim_applet_tools.emulator.keystore import EncryptedFileStore
from sim_applet_tools.iot_safe.pin import POSSESSION_PREFIX, ApprovalCard
from sim_applet_tools.iot_safe.session import find_applet
from sim_applet_tools.profiles import load_profile
from tests.sim.test_iot_safe_client import TEXT

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(keystore, "SCRYPT_COST", 1 << 4)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    secrets = {
        "passphrase": "a passphrase",
        "transport": "123456",
        "pin": "87654321",
        "puk": "11223344",
        "wrong": "000000",
    }
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret + "\n")
    monkeypatch.setenv("TALLY_SIM_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.chdir(tmp_path)
    EncryptedFileStore(tmp_path / "card", "a passphrase", image_if_new=new_image()).close()
    runner = CliRunner()

    def call(*arguments: str, card: bool = True, **options: Any) -> Result:
        return runner.invoke(sim, [arguments[0], *arguments[1:], *(["--card-file", "card"] if card else [])], **options)

    return call


def _json(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def _personalise() -> None:
    with emulated_card(Path("card"), "passphrase") as transport:
        ApprovalCard(find_applet(transport, [load_profile("tally")])).personalise("123456", "11223344")


def test_the_life_of_a_card(run: Run) -> None:
    info = _json(run("info", "--json"))
    assert info["applet"]["status"] == {"state": "fresh", "pin_tries": 3, "puk_tries": 10, "signatures": 0}
    assert info["applet"]["is_emulator"] is True
    assert info["iccid"].isdigit()

    device = load_pem_public_key(_json(run("keygen", "--key", "device", "--json"))["public_key"].encode())
    approval = _json(run("keygen", "--key", "approval", "--json"))["point"]
    Path("possession").write_bytes(POSSESSION_PREFIX + b"A" * 43)
    assert run("sign", "--key", "approval", "possession").exit_code == 0
    _personalise()
    assert run("keygen", "--key", "device", "--json").exit_code == 77

    Path("text").write_bytes(TEXT)
    early = run("sign", "--key", "approval", "--pin-file", "transport", "text", "--json")
    assert json.loads(early.stderr)["error"] == "conditions-not-satisfied"
    changed = _json(run("pin", "change", "--pin-file", "transport", "--new-pin-file", "pin", "--json"))
    assert changed["state"] == "active"

    assert _json(run("public-key", "--key", "approval", "--pin-file", "pin", "--json"))["point"] == approval
    signed = _json(run("sign", "--key", "approval", "--pin-file", "pin", "text", "--json"))
    assert len(base64.urlsafe_b64decode(signed["signature"] + "==")) == 64
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(approval))
    key.verify(bytes.fromhex(signed["der"]), TEXT, ec.ECDSA(hashes.SHA256()))
    assert _json(run("info", "--json"))["applet"]["status"]["signatures"] == 2

    request = x509.load_pem_x509_csr(
        _json(run("csr", "--subject", "CN=cell", "--dns", "cell.example", "--json"))["csr"].encode()
    )
    assert request.is_signature_valid
    assert request.public_key() == device


def test_a_certificate_is_stored_and_read(run: Run) -> None:
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    device = load_pem_public_key(_json(run("keygen", "--json"))["public_key"].encode())
    issuer = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=cell")

    def issue(key: Any) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, key, 1, now, now + timedelta(days=1))
        return builder.sign(issuer, hashes.SHA256())

    Path("own.pem").write_bytes(issue(device).public_bytes(Encoding.PEM))
    Path("other.der").write_bytes(issue(issuer.public_key()).public_bytes(Encoding.DER))
    Path("none").write_bytes(b"hello")
    assert json.loads(run("certificate", "--json").stderr)["error"] == "empty-container"
    assert run("certificate", "--store", "own.pem").exit_code == 0
    assert _json(run("certificate", "--json"))["certificate"] == Path("own.pem").read_text()
    assert "another key" in run("certificate", "--store", "other.der").stderr
    assert run("certificate", "--store", "none").exit_code == 65
    # with the PIN once personalised
    run("keygen", "--key", "approval")
    _personalise()
    assert (
        json.loads(run("certificate", "--store", "own.pem", "--pin-file", "wrong", "--json").stderr)["error"]
        == "wrong-pin"
    )
    assert run("certificate", "--store", "own.pem", "--pin-file", "transport").exit_code == 0
    assert _json(run("certificate", "--json"))["certificate"] == Path("own.pem").read_text()


def test_wrong_pin_blocked_and_unblocked(run: Run) -> None:
    run("keygen", "--key", "approval")
    _personalise()
    for left in (2, 1, 0):
        failed = run("pin", "change", "--pin-file", "wrong", "--new-pin-file", "pin", "--json")
        assert json.loads(failed.stderr)["error"] == "wrong-pin"
        assert f"{left} tries left" in failed.stderr
        assert "000000" not in failed.stderr
    assert "blocked" in run("pin", "change", "--pin-file", "transport", "--new-pin-file", "pin").stderr
    findings = json.loads(run("doctor", "--json").stdout)
    assert findings["healthy"] is False
    assert "pin unblock" in findings["findings"][-1]["detail"]
    assert "9 tries" in run("pin", "unblock", "--puk-file", "pin", "--new-pin-file", "pin").stderr
    assert _json(run("pin", "unblock", "--puk-file", "puk", "--new-pin-file", "transport", "--json"))["unblocked"]
    assert run("doctor").exit_code == 0


def test_a_puk_tried_ten_times_is_dead_and_so_is_the_card(run: Run) -> None:
    run("keygen", "--key", "approval")
    _personalise()
    for left in range(9, -1, -1):
        failed = run("pin", "unblock", "--puk-file", "pin", "--new-pin-file", "pin")
        assert f"{left} tries left" in failed.stderr
    dead = json.loads(run("pin", "unblock", "--puk-file", "puk", "--new-pin-file", "pin", "--json").stderr)
    assert dead["error"] == "pin-blocked"
    assert "replaced" in dead["message"]
    for _ in range(3):
        run("pin", "change", "--pin-file", "wrong", "--new-pin-file", "pin")
    findings = json.loads(run("doctor", "--json").stdout)
    assert findings["healthy"] is False
    assert "blocked for good" in findings["findings"][-1]["detail"]


def test_a_pin_is_asked_for_and_not_shown(run: Run) -> None:
    run("keygen", "--key", "approval")
    _personalise()
    result = run("pin", "change", "--trace", input="123456\n87654321\n87654321\n")
    assert result.exit_code == 0, result.stderr
    assert "87654321" not in result.output
    assert "(data hidden)" in result.stderr


def test_raw_commands_and_traces(run: Run) -> None:
    answers = _json(run("apdu", "00A4040008F054414C4C590101", "80CBF00000", "--json"))["answers"]
    assert [answer["status_word"] for answer in answers] == ["9000", "9000"]
    assert run("apdu", "zz").exit_code == 65
    assert run("apdu", "00").exit_code == 65
    traced = run("trace", "info", "--json")
    assert traced.exit_code == 0
    assert "> 00 A4 04 00 08 F0 54 41 4C 4C 59 01 01" in traced.stderr
    assert json.loads(traced.stdout)["applet"]
    assert run("trace", "nothing").exit_code == 2
    assert run("trace", "trace", "info").exit_code == 65


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["info", "--profile", "nobody"], 78),
        (["info", "--aid", "12"], 65),
        (["sign", "--key", "wrong", "passphrase"], 2),
        (["csr", "--subject", "nonsense"], 65),
        (["public-key", "--aid", "A000000559"], 66),
    ],
)
def test_bad_options(run: Run, arguments: list[str], code: int) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output


def test_wrong_passphrase_and_missing_card(run: Run) -> None:
    Path("passphrase").write_text("another")
    assert json.loads(run("info", "--json").stderr)["error"] == "storage"
    assert run("info", "--card-file", "nowhere", card=False).exit_code == 74
    assert run("emulate", "card", "--new", card=False).exit_code == 65


def test_every_command_takes_json() -> None:
    def leaves(group: click.Group) -> Iterator[click.Command]:
        for command in group.commands.values():
            if isinstance(command, click.Group):
                yield from leaves(command)
            else:
                yield command

    for command in leaves(sim):
        if command.name != "trace":
            assert any("--json" in parameter.opts for parameter in command.params), command.name
