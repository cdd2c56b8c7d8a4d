"""How old an answer is, and that none is given beyond the consortium's bound."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pki_chain.errors import StaleError
from pki_chain.index.queries import ReadModel
from pki_chain.ports import Block

Clock = Callable[[], float]
"""Seconds since 1970."""

LONGEST_CACHE_S: Final = 5

TOLERANCE_S: Final = 15
"""How far a block may lie ahead of our clock: clocks differ, and a consensus engine lets its blocks run ahead a little.
Beyond it our clock has gone back, or the ledger's forward, and no age can be told."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The block that an answer holds for, and how old it was when the answer was given."""

    block: Block
    age_s: float
    cache_s: int
    age_bound_s: int
    cut_off_s: int

    def content(self) -> dict[str, Any]:
        """The two fields that every answer about state carries."""
        return {"block": block_content(self.block.number, self.block.time, self.block.hash), "age_s": self.age_s}


def block_content(number: int, block_time: int, block_hash: bytes) -> dict[str, Any]:
    """A block as answers show it."""
    return {"number": number, "time": block_time, "hash": "0x" + block_hash.hex()}


def age_of(block_time: int, now: float) -> float:
    """Seconds since the block, to three places; a block of the near future has none. Raises `StaleError` for a block
    that lies so far ahead that the clock cannot be right."""
    if block_time - now > TOLERANCE_S:
        raise StaleError(
            f"The ledger's last block lies {block_time - now:.0f} s ahead of this gateway's clock, so nobody can tell"
            " how old its answers are. Ask another gateway, or this one when its clock is right."
        )
    return round(max(0.0, now - block_time), 3)


def require_fresh(age_s: float, age_bound_s: int) -> None:
    """Raises `StaleError` for an age beyond the bound."""
    if age_s > age_bound_s:
        raise StaleError(
            f"The gateway's view of the ledger is {age_s:.0f} s old, and {age_bound_s} s are allowed."
            " Ask another gateway, or this one again when it has caught up."
        )


def cache_seconds(age_s: float, cut_off_s: int) -> int:
    """How long an answer of this age may be cached so that no copy of it outlives the cut-off bound."""
    return max(0, min(LONGEST_CACHE_S, math.floor(cut_off_s - age_s)))


def cache_control(cache_s: int) -> str:
    """Caches keep an answer for this long and then ask again, also when the gateway is away (RFC 9111 §5.2.2)."""
    return f"max-age={cache_s}, must-revalidate" if cache_s else "no-store"


@dataclass(frozen=True, slots=True)
class Span:
    """While the clock shows no time outside of these, and ticks are no more than these, a moment says what it said."""

    earliest: float
    latest: float
    last_ticks: float


NEVER: Final = Span(math.inf, -math.inf, -math.inf)


class Freshness:
    """Tells the moment of an answer, by the read model's head and a clock. Safe for threads.

    A clock can be set back while nothing new comes from the ledger; so a head is also at least as old as the time for
    which this process has known it, by `ticks`, which nobody can set.
    """

    def __init__(
        self, read_model: ReadModel, clock: Clock = time.time, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._read_model = read_model
        self._clock = clock
        self._ticks = ticks
        self._seen: tuple[bytes, float] = (b"", 0.0)

    def now(self) -> float:
        return self._clock()

    def age(self, block_hash: bytes, block_time: int) -> float:
        """How old the head with this hash and time is, in seconds. Raises `StaleError` when nobody can tell."""
        ticks = self._ticks()
        seen = self._seen
        if seen[0] != block_hash:
            seen = self._seen = (block_hash, ticks)
        return max(age_of(block_time, self._clock()), round(ticks - seen[1], 3))

    def moment(self) -> Moment:
        """Raises `StaleError`, `NotReadyError`, `IndexFaultError`."""
        block = self._read_model.head()
        parameters = self._read_model.parameters()
        age_s = self.age(block.hash, block.time)
        require_fresh(age_s, parameters.age_bound_s)
        return Moment(
            block, age_s, cache_seconds(age_s, parameters.cut_off_s), parameters.age_bound_s, parameters.cut_off_s
        )

    def again(self, moment: Moment) -> Moment:
        """A moment of the same block, as old as it is now. Raises `StaleError`."""
        age_s = self.age(moment.block.hash, moment.block.time)
        require_fresh(age_s, moment.age_bound_s)
        cache_s = cache_seconds(age_s, moment.cut_off_s)
        return Moment(moment.block, age_s, cache_s, moment.age_bound_s, moment.cut_off_s)

    def span(self, moment: Moment, most_s: float) -> Span:
        """How long a moment that was told just now stays fresh and keeps its `cache_s`: for `most_s` at the most."""
        now, ticks = self._clock(), self._ticks()
        block, seen = moment.block, self._seen
        last_age_s = min(moment.age_bound_s, moment.cut_off_s - moment.cache_s)
        known_since = seen[1] if seen[0] == block.hash else ticks
        return Span(
            max(now - most_s, block.time - TOLERANCE_S),
            min(now + most_s, block.time + last_age_s),
            min(ticks + most_s, known_since + last_age_s),
        )

    def is_within(self, span: Span) -> bool:
        """Whether it is still going on."""
        return span.earliest <= self._clock() <= span.latest and self._ticks() <= span.last_ticks
