"""The answer about a certificate's status: one SQL statement, one small object, no template, no session, no ORM."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from pki_chain.gateway.freshness import Freshness, block_content, cache_seconds, require_fresh
from pki_chain.gateway.problems import EnvelopeError
from pki_chain.index.errors import NotReadyError
from pki_chain.index.queries import ReadModel, check_fault, facts_of
from pki_chain.ports import Status
from pki_chain.status.certificate_status import UNKNOWN, CertificateStatus, derive_status

_MAX_KEPT: Final = 20_000
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


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of a certificate as of a block: `content` is the JSON up to the answer's age, its last field."""

    content: bytes
    block_time: int
    block_hash: bytes
    age_bound_s: int
    cut_off_s: int


class StatusAnswers:
    """Answers by SHA-256 of the DER, as bytes ready to send. Safe for threads."""

    def __init__(self, read_model: ReadModel, freshness: Freshness) -> None:
        self._read_model = read_model
        self._freshness = freshness

    def answer(self, sha256: str) -> tuple[bytes, int]:
        """The JSON, and for how many seconds it may be cached.

        Raises `EnvelopeError`, `StaleError`, `NotReadyError`, `IndexFaultError`.
        """
        return self.aged(self.say(sha256))

    def say(self, sha256: str) -> _Said:
        """What is said as of the last block. Raises `EnvelopeError`, `NotReadyError`, `IndexFaultError`."""
        row = self._read_model.status_row(parse_sha256(sha256))
        if row is None or row[4] is None:
            raise NotReadyError("The gateway has not read the ledger yet. Ask again in a moment.")
        number, block_time, block_hash, fault, age_bound_s, cut_off_s, identity, *facts = row
        check_fault(fault)
        status = UNKNOWN if identity is None else derive_status(facts_of(facts), block_time)
        content = status_content(status)
        content["sha256"] = sha256
        content["certificate"] = None if identity is None else "0x" + identity.hex()
        content["block"] = block_content(number, block_time, block_hash)
        before_age = json.dumps(content, separators=(",", ":"))[:-1] + ',"age_s":'
        return _Said(before_age.encode(), block_time, block_hash, age_bound_s, cut_off_s)

    def aged(self, said: _Said) -> tuple[bytes, int]:
        """The answer, as old as it is now. Raises `StaleError`."""
        age_s = self._freshness.age(said.block_hash, said.block_time)
        require_fresh(age_s, said.age_bound_s)
        return b"%b%b}" % (said.content, repr(age_s).encode()), cache_seconds(age_s, said.cut_off_s)


class StatusCache:
    """Answers from what was said since the read model changed, for one thread."""

    def __init__(self, answers: StatusAnswers, read_model: ReadModel) -> None:
        self._answers = answers
        self._read_model = read_model
        self._said: dict[str, _Said] = {}
        self._version = -1

    def answer(self, sha256: str) -> tuple[bytes, int]:
        """As `StatusAnswers.answer`."""
        version = self._read_model.version()
        if version != self._version:
            self._said.clear()
            self._version = version
        said = self._said.get(sha256)
        if said is None:
            said = self._answers.say(sha256)
            if len(self._said) < _MAX_KEPT:
                self._said[sha256] = said
        return self._answers.aged(said)
