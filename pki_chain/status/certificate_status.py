"""The status of a certificate from what the ledger recorded and a block's time; the same answer as `statusOf` gives.

Source: contracts/interfaces/ICertificateRegistry.sol; docs/ledger.md, Rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pki_chain.ports import HoldFlag, Status

STORED_SUPERSEDED: Final = 4
STORED_REVOKED: Final = 5
"""States that a slot stores beside 1, recorded; everything else follows from batch, key and time."""

HOLDS: Final = int(HoldFlag.OWNER | HoldFlag.CONSORTIUM | HoldFlag.EMERGENCY)
HOLD_REASON: Final = 6
"""certificateHold. Source: RFC 5280 §5.3.1."""

_HOLDS: Final = (
    (HoldFlag.OWNER, "owner"),
    (HoldFlag.CONSORTIUM, "consortium"),
    (HoldFlag.EMERGENCY, "emergency"),
)


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What the ledger recorded about one certificate, its batch and its key. Times are seconds since 1970.

    `accepted` and `rejected` are the certificate's own bits of its batch; `decided_at` is when an endorsement last
    decided an entry of that batch; `key_blocked_at` is 0 for a key that is not blocked for everybody;
    `emergency_until` is 0 without an emergency hold; `issuer_withdrawn_at` is when the CA that issued it, or one above,
    was withdrawn, with the reason to tell: 0 where none was, or no CA issued it.
    """

    state: int
    flags: int
    hold_counter: int
    reason: int
    changed_at: int
    emergency_until: int
    not_after: int
    profile: int
    lot: int
    batch: int
    entry: int
    accepted: bool
    rejected: bool
    submitted_at: int
    window_end: int
    decided_at: int
    key_block_reason: int
    key_blocked_at: int
    issuer_withdrawal_reason: int = 0
    issuer_withdrawn_at: int = 0


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """The answer; fields as in `ICertificateRegistry.CertificateStatus`, and the kinds of hold in force."""

    state: Status
    reason: int
    since: int
    not_after: int
    profile: int
    batch: int
    entry: int
    lot: int
    hold_counter: int
    flags: int
    holds: tuple[str, ...]


UNKNOWN: Final = CertificateStatus(Status.UNKNOWN, 0, 0, 0, 0, 0, 0, 0, 0, 0, ())
"""What is answered about a certificate that the ledger does not know: never good."""


def derive_status(facts: CertificateFacts, block_time: int) -> CertificateStatus:
    """Status at a block's time. Precedence: revoked or blocked key, rejected, lapsed, submitted, withdrawn issuer,
    expired, superseded, held, valid. A withdrawal after a certificate's end says nothing of it."""
    flags = effective_flags(facts.flags, facts.emergency_until, block_time)
    state, reason, since = _judge(facts, flags, block_time)
    return CertificateStatus(
        state=state,
        reason=reason,
        since=since,
        not_after=facts.not_after,
        profile=facts.profile,
        batch=facts.batch,
        entry=facts.entry,
        lot=facts.lot,
        hold_counter=facts.hold_counter,
        flags=flags,
        holds=tuple(name for flag, name in _HOLDS if flags & flag),
    )


def effective_flags(flags: int, emergency_until: int, block_time: int) -> int:
    """The flags as they hold at a block's time: an emergency hold ends by itself."""
    return flags if block_time < emergency_until else flags & ~HoldFlag.EMERGENCY


def _judge(facts: CertificateFacts, flags: int, block_time: int) -> tuple[Status, int, int]:  # noqa: C901, PLR0911
    """State, reason and since: one precedence, written as one list."""
    if facts.state == STORED_REVOKED:
        return Status.REVOKED, facts.reason, facts.changed_at
    if facts.key_blocked_at:
        return Status.REVOKED, facts.key_block_reason, facts.key_blocked_at
    if facts.rejected:
        return Status.REJECTED, 0, facts.decided_at
    if not facts.accepted:
        if block_time > facts.window_end:
            return Status.LAPSED, 0, facts.window_end
        return Status.SUBMITTED, 0, facts.submitted_at
    if 0 < facts.issuer_withdrawn_at <= facts.not_after:
        return Status.REVOKED, facts.issuer_withdrawal_reason, facts.issuer_withdrawn_at
    if block_time > facts.not_after:
        return Status.EXPIRED, 0, facts.not_after
    if facts.state == STORED_SUPERSEDED:
        return Status.SUPERSEDED, facts.reason, facts.changed_at
    since = max(facts.changed_at, facts.decided_at)
    if flags & HOLDS:
        return Status.HELD, HOLD_REASON, since
    if facts.flags & HoldFlag.EMERGENCY:  # one that ended by itself
        since = max(since, facts.emergency_until)
    return Status.VALID, 0, since
