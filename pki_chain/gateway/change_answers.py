"""The change feed over the read model: pages, and the cursor that a reader goes on from."""

from __future__ import annotations

from typing import Any, Final, Protocol

from pki_chain.gateway.problems import EnvelopeError, RejectedError
from pki_chain.gateway.status_answers import REVOCATION_REASONS
from pki_chain.index.change_log import Change, ChangeLog

MAX_PAGE: Final = 1_000
_MAX_DIGITS: Final = 18


class Feed(Protocol):
    """A feed whose positions grow with the ledger's blocks."""

    def end(self, block: int) -> int: ...


def read_cursor(text: str, log: Feed, block: int) -> int:
    """The position that a cursor stands for; "0" is the beginning.

    Raises `EnvelopeError` for what is no cursor, `RejectedError` (409) for one that lies ahead of this block.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise EnvelopeError(400, "bad-cursor", "A cursor is the number that the feed gave, or 0 for the beginning.")
    position = int(text)
    if position > log.end(block):
        raise RejectedError(
            409,
            "cursor-from-the-future",
            f"The cursor lies ahead of this gateway's last block {block}. Keep it and ask again, or ask the gateway"
            " that gave it.",
            retry_after_s=2,
        )
    return position


def read_after(text: str, log: ChangeLog, block: int) -> int:
    """As `read_cursor`; "now" is after the last change."""
    return log.position() if text == "now" else read_cursor(text, log, block)


def change_content(change: Change) -> dict[str, Any]:
    """A change as the feed tells it; times are seconds since 1970."""
    with_reason = change.kind in {"held", "revoked", "superseded"}
    reason = {"number": change.reason, "name": REVOCATION_REASONS.get(change.reason, "unspecified")}
    return {
        "cursor": str(change.position),
        "kind": change.kind,
        "block": change.block,
        "time": change.time,
        "sha256": change.sha256.hex(),
        "certificate": "0x" + change.certificate.hex(),
        "spki_sha256": None if change.spki_sha256 is None else change.spki_sha256.hex(),
        "reason": reason if with_reason else None,
        "until": (change.until or None) if change.kind == "held" else None,
        "profile": change.profile,
        "member": change.owner,
        "station_member": change.station_member,
        "lot": change.lot,
        "not_before": change.not_before,
        "not_after": change.not_after,
        "names": [{"kind": kind, "value": value} for kind, value in change.names],
    }
