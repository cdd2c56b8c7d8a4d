"""The block's time against the validator's own clock.

Whoever makes blocks chooses their time, within limits; a time ahead of ours would let a certificate live before its
day. A time behind ours is normal: a validator may be late, but not later than the endorsement window.
"""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.policy.context import BatchContext
from pki_chain.policy.settings import RuleSettings
from pki_chain.x509.certificate import Certificate
from pki_chain.x509.reasons import Reason

_DEFAULT_TOLERANCE_S = 120
_MAX_TOLERANCE_S = 86_400


@dataclass(frozen=True, slots=True)
class Clock:
    """Abstains while the block's time lies more than `tolerance_s` ahead, or a whole window behind."""

    tolerance_s: int
    name: str = "clock"

    def judge(self, certificate: Certificate, context: BatchContext) -> Reason | None:  # noqa: ARG002
        ahead_s = context.block_time - context.now
        late = -ahead_s > context.profile.window_seconds + self.tolerance_s
        return Reason.CLOCK_DISAGREES if ahead_s > self.tolerance_s or late else None


def create(settings: RuleSettings) -> Clock:
    """The rule; `tolerance_s` (default 120). Raises ConfigurationError."""
    return Clock(settings.take_seconds("tolerance_s", _DEFAULT_TOLERANCE_S, _MAX_TOLERANCE_S))
