"""The answer about a certificate's status: one SQL statement, one small object, no template, no session, no ORM."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pki_chain.gateway.freshness import Freshness, block_content, cache_seconds, require_fresh
from pki_chain.gateway.problems import EnvelopeError
from pki_chain.index.errors import NotReadyError
from pki_chain.index.queries import ReadModel, check_fault, facts_of
from pki_chain.ports import Status
from pki_chain.status.certificate_status import UNKNOWN, CertificateStatus, derive_status

_SHA256: Final = re.compile(r"[0-9a-f]{64}")

REVOCATION_REASONS: Final = {
    0: "unspecified",
    1: "keyCompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    9: "privilegeWithdrawn",
}
"""CRLReason. Source: RFC 5280 §5.3.1."""

_WITH_REASON: Final = frozenset({Status.REVOKED, Status.HELD, Status.SUPERSEDED})


def parse_sha256(text: str) -> bytes:
    """SHA-256 of a certificate's DER from 64 lower-case hexadecimal digits. Raises `EnvelopeError`."""
    if not _SHA256.fullmatch(text):
        raise EnvelopeError(
            400, "bad-sha256", "A certificate is named by SHA-256 of its DER: 64 lower-case hexadecimal digits."
        )
    return bytes.fromhex(text)


def status_content(status: CertificateStatus) -> dict[str, Any]:
    """A status as answers show it; times are seconds since 1970, `reason` is RFC 5280's."""
    with_reason = status.state in _WITH_REASON
    return {
        "state": status.state.name.lower(),
        "reason": {"number": status.reason, "name": REVOCATION_REASONS.get(status.reason, "unspecified")}
        if with_reason
        else None,
        "since": status.since or None,
        "not_after": status.not_after or None,
        "holds": status.holds,
        "hold_counter": status.hold_counter,
        "profile": status.profile or None,
        "lot": status.lot or None,
        "batch": status.batch or None,
        "entry": status.entry if status.batch else None,
    }


class StatusAnswers:
    """Answers by SHA-256 of the DER, as bytes ready to send."""

    def __init__(self, read_model: ReadModel, freshness: Freshness) -> None:
        self._read_model = read_model
        self._freshness = freshness

    def answer(self, sha256: str) -> tuple[bytes, int]:
        """The JSON, and for how many seconds it may be cached.

        Raises `EnvelopeError`, `StaleError`, `NotReadyError`, `IndexFaultError`.
        """
        row = self._read_model.status_row(parse_sha256(sha256))
        if row is None or row[4] is None:
            raise NotReadyError("The gateway has not read the ledger yet. Ask again in a moment.")
        number, block_time, block_hash, fault, age_bound_s, cut_off_s, identity, *facts = row
        check_fault(fault)
        age_s = self._freshness.age(block_hash, block_time)
        require_fresh(age_s, age_bound_s)
        status = UNKNOWN if identity is None else derive_status(facts_of(facts), block_time)
        content = status_content(status)
        content["sha256"] = sha256
        content["certificate"] = None if identity is None else "0x" + identity.hex()
        content["block"] = block_content(number, block_time, block_hash)
        content["age_s"] = age_s
        return json.dumps(content, separators=(",", ":")).encode(), cache_seconds(age_s, cut_off_s)
