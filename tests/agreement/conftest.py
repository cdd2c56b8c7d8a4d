"""One engine with the parser's contract for all tests of agreement."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from parser_contract import ParserContract, running_anvil


@pytest.fixture(scope="session")
def contract() -> Iterator[ParserContract]:
    with running_anvil() as anvil:
        yield ParserContract(anvil)
