"""Validity: two times, strictly as RFC 5280 §4.1.2.5 writes them."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from pki_chain.x509 import der
from pki_chain.x509.der import Element
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules

ENDLESS = 253_402_300_799
"""99991231235959Z: no well-defined end. Source: RFC 5280 §4.1.2.5."""
_EARLIEST_YEAR = 1970
_FIRST_GENERALIZED_YEAR = 2050
_DAY_S = 86_400


def parse_time(element: Element) -> int:
    """Seconds since 1970.

    UTCTime is YYMMDDHHMMSSZ, GeneralizedTime is YYYYMMDDHHMMSSZ and stands for 2050 and later only.
    Raises CertificateRefusedError(BAD_VALIDITY).
    """
    content = element.content
    digits = content[:-1]
    if content[-1:] != b"Z" or not digits.isdigit() or len(digits) != (12 if element.tag == der.UTC_TIME else 14):
        raise _bad("time is not of the form that RFC 5280 asks for")
    if element.tag == der.UTC_TIME:
        digits = (b"19" if digits >= b"50" else b"20") + digits
    elif digits < str(_FIRST_GENERALIZED_YEAR).encode():
        raise _bad("GeneralizedTime before 2050")
    year, month, day, hour, minute, second = int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise _bad("no such moment in the calendar") from error
    if year < _EARLIEST_YEAR:
        raise _bad("time before 1970")
    return calendar.timegm(moment.timetuple())


def read_validity(not_before: Element, not_after: Element) -> tuple[int, int]:
    """Both times; notBefore is not later than notAfter. Raises CertificateRefusedError(BAD_VALIDITY)."""
    begin, end = parse_time(not_before), parse_time(not_after)
    if begin > end:
        raise _bad("ends before it begins")
    return begin, end


def check_validity(not_before: int, not_after: int, rules: CertificateRules) -> None:
    """Reasons 11 to 13, at the block's time. Raises CertificateRefusedError."""
    profile = rules.profile
    if not_before > rules.block_time + profile.skew_seconds:
        raise CertificateRefusedError(Reason.NOT_YET_VALID, f"notBefore {not_before}, block time {rules.block_time}")
    if not_after < rules.block_time:
        raise CertificateRefusedError(Reason.EXPIRED, f"notAfter {not_after}, block time {rules.block_time}")
    endless = profile.endless_allowed and not_after == ENDLESS
    if not endless and not_after - not_before > profile.longest_life_days * _DAY_S:
        raise CertificateRefusedError(Reason.LIFETIME_TOO_LONG, f"{not_after - not_before} s")


def _bad(detail: str) -> CertificateRefusedError:
    return CertificateRefusedError(Reason.BAD_VALIDITY, detail)
