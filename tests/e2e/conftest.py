"""A whole consortium in real processes, for each module that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pki_chain.demo.processes import Processes
from pki_chain.demo.stage import Stage, raise_stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A ledger, four members, their validators and two gateways; all ended afterwards."""
    raised = Stage(tmp_path, Processes(tmp_path, quiet=True), count=0)
    try:
        raise_stage(raised)
        yield raised
    finally:
        raised.processes.stop()
