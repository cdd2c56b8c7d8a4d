"""The verifier in Go and this package's, on the same vectors, real and tampered: same answers, same refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.agreement.proof_cases import proof_cases

SOURCE = Path(__file__).parents[2] / "examples" / "proof-verifier"
GO = shutil.which("go")

pytestmark = [pytest.mark.go, pytest.mark.skipif(GO is None, reason="no Go tool chain")]


def test_go_answers_every_case_as_python_does(tmp_path: Path) -> None:
    cases = list(proof_cases())
    refused = {case["Refusal"] for case in cases}
    assert len(cases) > 700
    assert len(refused) > 25
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(cases))
    done = subprocess.run(
        [str(GO), "test", "-mod=readonly", "-count=1", "."],
        cwd=SOURCE,
        env={**os.environ, "TALLY_PROOF_CASES": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
