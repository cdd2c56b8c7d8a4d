"""One engine for all tests of agreement, with the parser's contract on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agreement.parser_contract import Anvil, ParserContract, running_anvil


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    with running_anvil() as engine:
        yield engine


@pytest.fixture(scope="session")
def contract(anvil: Anvil) -> ParserContract:
    return ParserContract(anvil)
