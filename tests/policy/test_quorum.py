"""k of n against the definition, entry by entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.policy.quorum import Endorsement, Settlement, settle

BITS = st.integers(0, (1 << 200) - 1)


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, int, int, list[Endorsement]]:
    present = draw(BITS)
    n = draw(st.integers(1, 9))
    k = draw(st.integers(1, n))
    endorsements = []
    for _ in range(draw(st.integers(0, n))):
        accepts = draw(BITS) & present
        endorsements.append(Endorsement(accepts, draw(BITS) & present & ~accepts))
    return present, k, n, endorsements


@given(batches())
def test_each_entry_is_decided_by_counting(batch: tuple[int, int, int, list[Endorsement]]) -> None:
    present, k, n, endorsements = batch
    settlement = settle(present, k, n, endorsements)
    for entry in range(200):
        is_there = present >> entry & 1
        accepts = sum(one.accepts >> entry & 1 for one in endorsements)
        abstains = sum(one.abstains >> entry & 1 for one in endorsements)
        rejects = len(endorsements) - accepts - abstains
        assert settlement.accepted >> entry & 1 == (is_there and accepts >= k)
        assert settlement.rejected >> entry & 1 == (is_there and rejects > n - k)
    assert not settlement.accepted & settlement.rejected


@given(batches(), st.randoms())
def test_order_means_nothing_and_decisions_stand(
    batch: tuple[int, int, int, list[Endorsement]], random: object
) -> None:
    present, k, n, endorsements = batch
    whole = settle(present, k, n, endorsements)
    shuffled = list(endorsements)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert settle(present, k, n, shuffled) == whole
    for count in range(len(endorsements)):
        part = settle(present, k, n, endorsements[:count])
        assert part.accepted & ~whole.accepted == 0
        assert part.rejected & ~whole.rejected == 0


def test_two_of_three() -> None:
    yes, no, unsure = Endorsement(0b111, 0), Endorsement(0b110, 0), Endorsement(0b010, 0b001)
    assert settle(0b111, 2, 3, [yes]) == Settlement(0b111, 0, 0)
    assert settle(0b111, 2, 3, [yes, no]) == Settlement(0b111, 0b110, 0)
    assert settle(0b111, 2, 3, [no, unsure]) == Settlement(0b111, 0b010, 0)
    after = settle(0b111, 2, 3, [yes, no, unsure])
    assert (after.undecided, after.is_settled) == (0b001, False)
    assert settle(0b111, 2, 3, [yes, no, no]) == Settlement(0b111, 0b110, 0b001)
    assert settle(0b111, 2, 3, [yes, no, no]).is_settled


@pytest.mark.parametrize(
    ("k", "n", "endorsements"),
    [
        (0, 3, []),
        (4, 3, []),
        (2, 3, [Endorsement(1, 0)] * 4),
        (2, 3, [Endorsement(1, 1)]),
        (2, 3, [Endorsement(2, 0)]),
        (2, 3, [Endorsement(0, 2)]),
    ],
)
def test_impossible_batches_are_refused(k: int, n: int, endorsements: list[Endorsement]) -> None:
    with pytest.raises(ValueError, match="endorsement"):
        settle(1, k, n, endorsements)
    assert settle(1, 2, 3, [Endorsement(1, 0)] * 2).is_settled
