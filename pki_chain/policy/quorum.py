"""k of n: how endorsements settle the entries of a batch. Pure; the contract's twin in Python.

Maps are integers whose bit i stands for entry i. An entry is accepted at its k-th acceptance, and rejected once more
than n - k reject it; what is decided stays decided. Source: docs/ledger.md, Rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endorsement:
    """One endorser's maps. Bits in neither map are rejections; a bit in both is not a valid endorsement."""

    accepts: int
    abstains: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """The maps of decided entries."""

    present: int
    accepted: int
    rejected: int

    @property
    def undecided(self) -> int:
        """Entries that wait for endorsements, or lapse."""
        return self.present & ~(self.accepted | self.rejected)

    @property
    def is_settled(self) -> bool:
        """Whether every entry is decided."""
        return not self.undecided


def settle(present: int, k: int, n: int, endorsements: Iterable[Endorsement]) -> Settlement:
    """The outcome after these endorsements, each of another member of the n.

    Raises ValueError when k, n or a map is impossible.
    """
    given = tuple(endorsements)
    if not 1 <= k <= n or len(given) > n:
        raise ValueError(f"{len(given)} endorsements for k = {k} of n = {n}")
    if any(one.accepts & one.abstains or (one.accepts | one.abstains) & ~present for one in given):
        raise ValueError("an endorsement both accepts and abstains, or names an entry that is not there")
    accepted = _bits_reaching(k, [one.accepts for one in given])
    rejected = _bits_reaching(n - k + 1, [present & ~(one.accepts | one.abstains) for one in given])
    return Settlement(present, accepted, rejected)


def _bits_reaching(threshold: int, maps: list[int]) -> int:
    """Bits that are set in at least `threshold` maps."""
    at_least = [0] * threshold
    for bitmap in maps:
        for level in range(threshold - 1, 0, -1):
            at_least[level] |= at_least[level - 1] & bitmap
        at_least[0] |= bitmap
    return at_least[threshold - 1]
