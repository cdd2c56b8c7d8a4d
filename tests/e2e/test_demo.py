"""The demonstration itself: every step gives what it should, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pki_chain.demo.processes import DemoFailedError, wait_until
from pki_chain.demo.stage import require

TALLY = (sys.executable, "-m", "pki_chain.cli.main")


@pytest.mark.e2e
@pytest.mark.chain
def test_demo_passes_and_ends_its_processes(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    finished = subprocess.run(
        [*TALLY, "demo", "--count", "30", "--json", "--directory", str(directory)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout)
    assert result["passed"] is True
    assert "anvil" in result["engine"]
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(directory) not in left


def test_demo_refuses_a_directory_in_use(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    finished = subprocess.run(
        [*TALLY, "demo", "--directory", str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 2
    assert "not empty" in finished.stderr


def test_a_step_that_gives_something_else_fails() -> None:
    with pytest.raises(DemoFailedError, match="only 1 of 2"):
        require(holds=False, text="only 1 of 2 are valid")
    with pytest.raises(DemoFailedError, match="the sky falls: not so"):
        wait_until("the sky falls", lambda: False, timeout_s=0.05)
