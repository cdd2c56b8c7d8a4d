"""Writes DER: just what answers about status consist of. Source: X.690 §8, §10."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from pki_chain.x509.der import (
    BIT_STRING,
    BOOLEAN,
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    UTC_TIME,
)

ENUMERATED: Final = 0x0A
TRUE: Final = bytes((BOOLEAN, 1, 0xFF))
_UTC_TIME_ENDS: Final = 2_524_608_000
"""1 January 2050: from here on a Time is a GeneralizedTime. Source: RFC 5280 §5.1.2.4."""


def element(tag: int, *parts: bytes) -> bytes:
    """One tag-length-value."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*parts: bytes) -> bytes:
    return element(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """A SET OF, in DER's order."""
    return element(SET, *sorted(parts))


def explicit(number: int, *parts: bytes) -> bytes:
    """A constructed context-specific tag."""
    return element(0xA0 | number, *parts)


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def enumerated(value: int) -> bytes:
    """An ENUMERATED below 128."""
    return bytes((ENUMERATED, 1, value))


def object_identifier(content: bytes) -> bytes:
    return element(OBJECT_IDENTIFIER, content)


def octet_string(content: bytes) -> bytes:
    return element(OCTET_STRING, content)


def bit_string(content: bytes) -> bytes:
    """A BIT STRING without unused bits."""
    return element(BIT_STRING, b"\0", content)


@lru_cache(maxsize=1_024)
def generalized_time(seconds: int) -> bytes:
    """Seconds since 1970 as YYYYMMDDHHMMSSZ."""
    return element(GENERALIZED_TIME, _moment(seconds, "%Y%m%d%H%M%SZ"))


@lru_cache(maxsize=8_192)
def time(seconds: int) -> bytes:
    """A Time: UTCTime up to 2049, GeneralizedTime after. Source: RFC 5280 §5.1.2.4."""
    if seconds >= _UTC_TIME_ENDS:
        return generalized_time(seconds)
    return element(UTC_TIME, _moment(seconds, "%y%m%d%H%M%SZ"))


def extension(identifier: bytes, value: bytes, *, critical: bool = False) -> bytes:
    """An Extension whose value is this DER."""
    return sequence(object_identifier(identifier), TRUE if critical else b"", octet_string(value))


def _moment(seconds: int, form: str) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime(form).encode()
