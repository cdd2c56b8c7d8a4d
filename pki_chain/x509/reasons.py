"""Why a certificate is refused or rejected: one numbered list for contract, validators and REST.

The number is also the order of the checks, but that 33 to 35 come before 29. Texts and remedies come from
`reasons.json`, from which the contracts' `Reasons.sol` is generated as well; the members stand here in full so that
types are checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class _Entry:
    text: str
    remedy: str
    transient: bool


class Reason(IntEnum):
    """1-63: contract and validators; 64-95: validators only; from 96: validators, transient."""

    ENTRY_TOO_LARGE = 1
    MALFORMED_DER = 2
    WRONG_VERSION = 3
    BAD_SERIAL = 4
    ALGORITHM_MISMATCH = 5
    UNSUPPORTED_ALGORITHM = 6
    ISSUER_NOT_SUBJECT = 7
    BAD_SUBJECT = 8
    SUBJECT_NOT_OWNER = 9
    BAD_VALIDITY = 10
    NOT_YET_VALID = 11
    EXPIRED = 12
    LIFETIME_TOO_LONG = 13
    KEY_ALGORITHM_NOT_ALLOWED = 14
    BAD_POINT = 15
    TOO_MANY_EXTENSIONS = 16
    DUPLICATE_EXTENSION = 17
    UNKNOWN_CRITICAL_EXTENSION = 18
    BAD_CRITICALITY = 19
    MALFORMED_EXTENSION = 20
    CA_CERTIFICATE = 21
    BAD_KEY_USAGE = 22
    BAD_EXTENDED_KEY_USAGE = 23
    MISSING_EXTENSION = 24
    BAD_SAN = 25
    BAD_NAME = 26
    NAME_NOT_IN_LOT = 27
    COMMON_NAME_NOT_IN_SAN = 28
    BAD_SIGNATURE = 29
    KEY_BLOCKED = 30
    ALREADY_SEEN = 31
    LOT_FULL = 32
    UNKNOWN_ISSUER = 33
    ISSUER_NOT_LIVE = 34
    ISSUER_OUT_OF_SCOPE = 35
    WEAK_KEY = 64
    COMPROMISED_KEY = 65
    NAME_LIVE_ELSEWHERE = 66
    SERIAL_REPEATED = 67
    NOT_IN_OWN_RULES = 68
    EVIDENCE_MISSING = 96
    CLOCK_DISAGREES = 97

    @property
    def text(self) -> str:
        """What was wrong, without a full stop."""
        return _ENTRIES[self].text

    @property
    def remedy(self) -> str:
        """What the submitter can do about it."""
        return _ENTRIES[self].remedy

    @property
    def transient(self) -> bool:
        """Whether the entry lapses and may come again, instead of being rejected for good."""
        return _ENTRIES[self].transient

    @property
    def label(self) -> str:
        """Stable lower-case name, as it stands in REST answers."""
        return self.name.lower()


def _load_entries() -> dict[Reason, _Entry]:
    listed = json.loads(files(__package__).joinpath("reasons.json").read_text(encoding="utf-8"))["reasons"]
    entries = {Reason[item["name"].upper()]: item for item in listed}
    if {reason: reason.value for reason in Reason} != {reason: item["number"] for reason, item in entries.items()}:
        raise RuntimeError("pki_chain/x509/reasons.json and reasons.py list different reasons: make them agree")
    return {
        reason: _Entry(text=item["text"], remedy=item["remedy"], transient=item["transient"])
        for reason, item in entries.items()
    }


_ENTRIES = _load_entries()
