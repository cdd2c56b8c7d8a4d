"""A whole consortium in real processes, for each module that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pki_chain.demo.processes import Processes
from pki_chain.demo.stage import Stage, raise_stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A ledger, four members, their validators and two gateways; all ended afterwards."""
    with raised_stage(tmp_path) as raised:
        yield raised


@pytest.fixture(scope="module")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """As `stage`, for all tests of a module that leave its processes and members as they are."""
    with raised_stage(tmp_path_factory.mktemp("stage")) as raised:
        yield raised


@contextmanager
def raised_stage(directory: Path) -> Iterator[Stage]:
    raised = Stage(directory, Processes(directory, quiet=True), count=0)
    try:
        raise_stage(raised)
        yield raised
    finally:
        raised.processes.stop()
