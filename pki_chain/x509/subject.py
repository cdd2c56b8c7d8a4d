"""The subject: O, serialNumber and CN, each at most once and in its own RDN.

Source: RFC 5280 §4.1.2.6, appendix A (upper bounds); docs/decisions/0004-certificate-rules.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pki_chain.x509 import der
from pki_chain.x509 import object_identifiers as oids
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.reasons import Reason
from pki_chain.x509.structure import Attribute

_LONGEST_BYTES = 64
_PRINTABLE = re.compile(rb"[A-Za-z0-9 '()+,\-./:=?]+")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Subject:
    """Values as bytes (UTF-8), the two last ones None when absent."""

    organisation: bytes
    serial_number: bytes | None
    common_name: bytes | None


EMPTY_SUBJECT = Subject(b"", None, None)
"""Of a certificate that a CA issued and whose names are all in subjectAltName. Source: RFC 5280 §4.1.2.6."""


def read_subject(rdns: tuple[tuple[Attribute, ...], ...]) -> Subject:
    """The attributes of a subject. Raises CertificateRefusedError(BAD_SUBJECT)."""
    values: dict[bytes, bytes] = {}
    for rdn in rdns:
        if len(rdn) != 1:
            raise _bad("an RDN without exactly one attribute")
        attribute = rdn[0]
        if attribute.oid not in {oids.ORGANISATION, oids.SERIAL_NUMBER, oids.COMMON_NAME}:
            raise _bad(f"attribute {attribute.oid.hex()}")
        if attribute.oid in values:
            raise _bad(f"attribute {attribute.oid.hex()} twice")
        values[attribute.oid] = _read_value(attribute)
    if oids.ORGANISATION not in values:
        raise _bad("no O")
    return Subject(values[oids.ORGANISATION], values.get(oids.SERIAL_NUMBER), values.get(oids.COMMON_NAME))


def _read_value(attribute: Attribute) -> bytes:
    value = attribute.value
    if not 1 <= len(value) <= _LONGEST_BYTES:
        raise _bad("a value of 0 or more than 64 octets")
    if attribute.tag not in {der.UTF8_STRING, der.PRINTABLE_STRING}:
        raise _bad(f"string type {attribute.tag:#04x}")
    only_printable = attribute.tag == der.PRINTABLE_STRING or attribute.oid != oids.ORGANISATION
    if only_printable and not _PRINTABLE.fullmatch(value):
        raise _bad("a character outside PrintableString")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad("not UTF-8") from error
    if _CONTROL.search(value):
        raise _bad("a control character")
    return value


def _bad(detail: str) -> CertificateRefusedError:
    return CertificateRefusedError(Reason.BAD_SUBJECT, detail)
