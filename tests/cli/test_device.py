"""`tally device new`: what it writes is compliant, private, and never written over."""

from __future__ import annotations

import json
import os
import resource
import secrets
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pki_chain.cli.main import main
from pki_chain.ports import NameRange, RangeKind
from pki_chain.x509.profile import SMALL_CELL, TLS_DEVICE
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.self_signed import load_key
from pki_chain.x509.verify import check_certificate

REALM = "cells.acme.example"
CELLS = ("--organisation", "Acme", "--realm", REALM, "--first-eui", "02a0f2000001")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["device", "new", *arguments])
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_many_in_several_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path / "d"), *CELLS, "--count", "120", "--processes", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["count"] == 120
    span = NameRange(RangeKind.EUI, 48, 0x02A0F2000001, 0x02A0F2000078, REALM.encode())
    rules = CertificateRules(SMALL_CELL, "Acme", (span,), int(time.time()))
    names = {check_certificate(path.read_bytes(), rules).names[0].text for path in (tmp_path / "d").glob("*.cer")}
    assert names == {f"{0x02A0F2000001 + number:012x}.{REALM}" for number in range(120)}
    for key in (tmp_path / "d").glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_one_device_with_a_name_and_an_encrypted_key(tmp_path: Path) -> None:
    passphrase = secrets.token_hex(16)
    file = tmp_path / "passphrase"
    file.write_text(passphrase + "\n")
    arguments = ("--organisation", "Acme", "--profile", "tls-device", "--name", "dns:gate.acme.example")
    assert run(str(tmp_path / "d"), *arguments, "--passphrase-file", str(file), "--json") == 0
    rules = CertificateRules(
        TLS_DEVICE, "Acme", (NameRange(RangeKind.DNS, 0, 0, 0, b"acme.example"),), int(time.time())
    )
    check_certificate((tmp_path / "d" / "gate.acme.example.cer").read_bytes(), rules)
    key = tmp_path / "d" / "gate.acme.example.key"
    assert b"ENCRYPTED" in key.read_bytes()
    load_key(key, passphrase.encode())


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(tmp_path), *CELLS, "--json") == 0
    before = (tmp_path / "02a0f2000001.key").read_bytes()
    assert run(str(tmp_path), *CELLS, "--json") == 74
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "02a0f2000001.key").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--organisation", "Acme"), "--first-eui and --realm, or --name"),
        (("--organisation", "Acme", "--name", "dns:a.example", "--count", "2"), "--name is for one device"),
        (("--organisation", "Acme", "--realm", REALM, "--first-eui", "xyz"), "'xyz' is not 12 or 16 hexadecimal"),
        ((*CELLS[:-1], "ffffffffffff", "--count", "2"), "room for 2 devices"),
        (("--organisation", "Acme", "--name", "tel:1"), "'tel:1' is not dns:"),
        ((*CELLS, "--days", "3", "--endless"), "exclude each other"),
    ],
)
def test_wrong_input_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run(str(tmp_path / "d"), *arguments) == 65
    assert said in capsys.readouterr().err


def test_a_full_disk_is_said_and_leaves_no_half_key(tmp_path: Path) -> None:
    """A limit of 0 on the size of files fails every write, as a full disk does."""
    arguments = ["device", "new", str(tmp_path / "out"), "--organisation", "Acme", "--name", "dns:a.acme.example"]
    finished = subprocess.run(
        [sys.executable, "-m", "pki_chain.cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert finished.returncode == 74, finished.stderr
    assert "Traceback" not in finished.stderr
    assert list((tmp_path / "out").iterdir()) == []
