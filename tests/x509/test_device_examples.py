"""Devices without Python: what openssl, keytool and Go make enrols. R-DEV-1."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.profile import SMALL_CELL
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.verify import check_certificate
from tests.certificates import DNS_RANGE, REALM

DEVICE = Path(__file__).resolve().parents[2] / "examples" / "device"
ORGANISATION = 'Acme, "Small" + Cells/=\\ #1'
NAME = f"00a1b2c3d4e5.{REALM}"
TOOLS = [
    pytest.param(("./openssl.sh",), DEVICE, marks=pytest.mark.openssl, id="openssl"),
    pytest.param(("./keytool.sh",), DEVICE, marks=pytest.mark.java, id="keytool"),
    pytest.param(("go", "run", "."), DEVICE / "go", marks=pytest.mark.go, id="go"),
]


def make(tool: tuple[str, ...], source: Path, days: int, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = [*tool, ORGANISATION, NAME, str(days), str(folder)]
    return subprocess.run(arguments, cwd=source, capture_output=True, text=True, check=False)


def rules_now(organisation: str = ORGANISATION) -> CertificateRules:
    return CertificateRules(SMALL_CELL, organisation, (DNS_RANGE,), int(time.time()))


@pytest.mark.parametrize(("tool", "source"), TOOLS)
def test_certificate_is_accepted(tool: tuple[str, ...], source: Path, tmp_path: Path) -> None:
    made = make(tool, source, 3_653, tmp_path)
    assert made.returncode == 0, made.stderr
    der = Path(made.stdout.strip())
    assert der == tmp_path / f"{NAME}.der"
    certificate = check_certificate(der.read_bytes(), rules_now())
    assert certificate.organisation == ORGANISATION
    assert [name.text for name in certificate.names] == [NAME]
    secrets = [path for path in tmp_path.iterdir() if path != der]
    assert secrets
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in secrets)
    with pytest.raises(CertificateRefusedError) as refused:
        check_certificate(der.read_bytes(), rules_now("Acme"))
    assert refused.value.reason is Reason.SUBJECT_NOT_OWNER


@pytest.mark.parametrize(("tool", "source"), TOOLS)
def test_too_long_a_life_is_refused_by_the_rules(tool: tuple[str, ...], source: Path, tmp_path: Path) -> None:
    made = make(tool, source, 3_654, tmp_path)
    with pytest.raises(CertificateRefusedError) as refused:
        check_certificate(Path(made.stdout.strip()).read_bytes(), rules_now())
    assert refused.value.reason is Reason.LIFETIME_TOO_LONG


@pytest.mark.parametrize(("tool", "source"), TOOLS)
def test_nothing_is_overwritten(tool: tuple[str, ...], source: Path, tmp_path: Path) -> None:
    assert make(tool, source, 10, tmp_path).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = make(tool, source, 10, tmp_path)
    assert again.returncode != 0
    assert "exist" in again.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
