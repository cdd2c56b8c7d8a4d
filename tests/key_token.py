"""A real PKCS#11 token without hardware: SoftHSM2, with a directory of its own for each test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tally_service.key_token import KeyToken, close_session

LABEL = "tally"
PIN = "4711-secret-pin"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


def make_token(directory: Path) -> KeyToken:
    """A token below this directory; `SOFTHSM2_CONF` must name `directory / "softhsm2.conf"`."""
    (directory / "tokens").mkdir()
    (directory / "softhsm2.conf").write_text(f"directories.tokendir = {directory}/tokens\nlog.level = ERROR\n")
    subprocess.run(
        ("softhsm2-util", "--init-token", "--free", "--label", LABEL, "--so-pin", "so-secret-pin", "--pin", PIN),
        env=os.environ | {"SOFTHSM2_CONF": str(directory / "softhsm2.conf")},
        check=True,
        capture_output=True,
    )
    pin_file = directory / "pin"
    pin_file.write_text(PIN + "\n")
    pin_file.chmod(0o600)
    return KeyToken(Path(next(each for each in MODULES if Path(each).exists())), LABEL, pin_file)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyToken]:
    directory = tmp_path / "token"
    directory.mkdir()
    monkeypatch.setenv("SOFTHSM2_CONF", str(directory / "softhsm2.conf"))
    made = make_token(directory)
    close_session()  # so that the module reads the configuration of this test
    yield made
    close_session()
