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


@dataclass(frozen=True, slots=True)
class Moment:
    """The block that an answer holds for, and how old it was when the answer was given."""

    block: Block
    age_s: float
    cache_s: int

    def content(self) -> dict[str, Any]:
        """The two fields that every answer about state carries."""
        return {"block": block_content(self.block.number, self.block.time, self.block.hash), "age_s": self.age_s}


def block_content(number: int, block_time: int, block_hash: bytes) -> dict[str, Any]:
    """A block as answers show it."""
    return {"number": number, "time": block_time, "hash": "0x" + block_hash.hex()}


def age_of(block_time: int, now: float) -> float:
    """Seconds since the block, to three places; a block of the future has none."""
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


class Freshness:
    """Tells the moment of an answer, by the read model's head and a clock."""

    def __init__(self, read_model: ReadModel, clock: Clock = time.time) -> None:
        self._read_model = read_model
        self._clock = clock

    def now(self) -> float:
        return self._clock()

    def moment(self) -> Moment:
        """Raises `StaleError`, `NotReadyError`, `IndexFaultError`."""
        block = self._read_model.head()
        parameters = self._read_model.parameters()
        age_s = age_of(block.time, self._clock())
        require_fresh(age_s, parameters.age_bound_s)
        return Moment(block, age_s, cache_seconds(age_s, parameters.cut_off_s))
