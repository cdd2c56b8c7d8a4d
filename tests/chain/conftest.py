"""A running embedded engine, one for all tests of this folder that do not harm it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pki_chain.chain.connection import Connection
from pki_chain.chain.engine.embedded import EmbeddedEngine
from tests.ledger import consortium, ledger_engine

__all__ = ["consortium", "ledger_engine"]


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    directory: Path = tmp_path_factory.mktemp("engine")
    with EmbeddedEngine(directory, port=0) as running:
        yield running


@pytest.fixture
def connection(engine: EmbeddedEngine) -> Connection:
    return Connection([engine.endpoint], chain_id=engine.chain_id)
