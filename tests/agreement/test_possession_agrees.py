"""The possession digest of Python and of Solidity, for any operator, identity, key, purpose and deadline."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki_chain.chain.abi import load_interface
from pki_chain.ports import PossessionPurpose
from tests.ledger import Consortium, consortium, ledger_engine

__all__ = ["consortium", "ledger_engine"]

pytestmark = pytest.mark.chain

words = st.binary(min_size=32, max_size=32)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, (1 << 16) - 1),
    words,
    words,
    words,
    st.sampled_from(PossessionPurpose),
    st.integers(0, (1 << 64) - 1),
)
def test_possession_digests_agree(  # noqa: PLR0917  each is drawn by itself
    consortium: Consortium,
    operator: int,
    identity: bytes,
    x: bytes,
    y: bytes,
    purpose: PossessionPurpose,
    deadline: int,
) -> None:
    interface = load_interface("IdentityRegistry")
    data = interface.encode("possessionDigest", [operator, identity, x, y, int(purpose), deadline])
    answer = consortium.ledger.connection.call(consortium.file.identity_registry, data)
    assert answer == consortium.texts.possession(operator, identity, x, y, purpose, deadline).digest()
