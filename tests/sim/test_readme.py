"""The list of faults names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent


def test_every_test_named_exists() -> None:
    text = (FOLDER / "README.md").read_text()
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", text)
    assert len(named) > 40
    for file, name in named:
        source = (FOLDER / file).read_text()
        assert not name or f"def {name}(" in source, f"{file}::{name}"
    for script in re.findall(r"`(scripts/\w+\.apdu)`", text):
        assert (FOLDER / script).exists()
