"""Tests of cards. Those marked `pcsc` start a pcscd of their own and stop it at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.card_targets import Applets, Readers


@pytest.fixture(scope="session", autouse=True)
def _stop_pcscd() -> Iterator[None]:
    yield
    Readers.stop()
    Applets.stop()
