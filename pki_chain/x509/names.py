"""Names in subjectAltName: their form, and the ranges of a lot that they must lie in.

Source: RFC 5280 §4.2.1.6, RFC 1034 §3.5, RFC 8141, TS 33.320 (EUI names); docs/decisions/0004-certificate-rules.md.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pki_chain.ports import NameRange, RangeKind
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.profile import SanType
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules

SAN_MAXIMUM = 8
_LONGEST_DNS_BYTES = 253
_LONGEST_URN_BYTES = 255
_LABEL = rb"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS = re.compile(_LABEL + rb"(?:\." + _LABEL + rb")+")
_URN = re.compile(rb"urn:[A-Za-z0-9.:_-]+")
_HEX = re.compile(rb"[0-9a-f]+")
_TAGS = {0x82: SanType.DNS, 0x86: SanType.URI, 0x87: SanType.IP}


@dataclass(frozen=True, slots=True)
class GeneralName:
    """One element of subjectAltName as it stands there: tag octet and content."""

    tag: int
    value: bytes


@dataclass(frozen=True, slots=True)
class SubjectAltName:
    """A dNSName or URI as ASCII octets, or an iPAddress of 4 or 16 octets."""

    kind: SanType
    value: bytes

    @property
    def text(self) -> str:
        """As people write it."""
        return str(ipaddress.ip_address(self.value)) if self.kind is SanType.IP else self.value.decode("ascii")


def read_names(general_names: Sequence[GeneralName], rules: CertificateRules | None) -> tuple[SubjectAltName, ...]:
    """Reasons 25 to 27, in this order over all names; without rules, any known type and no range.

    Raises CertificateRefusedError: BAD_SAN, BAD_NAME or NAME_NOT_IN_LOT.
    """
    maximum = SAN_MAXIMUM if rules is None else min(SAN_MAXIMUM, rules.profile.san_maximum)
    if len(general_names) > maximum:
        raise CertificateRefusedError(Reason.BAD_SAN, f"{len(general_names)} names")
    names = tuple(_read_type(name, rules) for name in general_names)
    for name in names:
        check_form(name)
        if rules is not None:
            _check_international_labels(name, rules.ranges)
    if len(set(names)) != len(names):
        raise CertificateRefusedError(Reason.BAD_NAME, "the same name twice")
    for name in names:
        if rules is not None and not any(is_in_range(name, span) for span in rules.ranges):
            raise CertificateRefusedError(Reason.NAME_NOT_IN_LOT, repr(name.text))
    return names


def _read_type(name: GeneralName, rules: CertificateRules | None) -> SubjectAltName:
    kind = _TAGS.get(name.tag)
    if kind is None or (rules is not None and kind not in rules.profile.san_types):
        raise CertificateRefusedError(Reason.BAD_SAN, f"name type {name.tag:#04x}")
    return SubjectAltName(kind, name.value)


def check_form(name: SubjectAltName) -> None:
    """Form of one name, whatever the ranges. Raises CertificateRefusedError(BAD_NAME)."""
    value = name.value
    well_formed = {
        SanType.DNS: len(value) <= _LONGEST_DNS_BYTES and _DNS.fullmatch(value) is not None,
        SanType.URI: len(value) <= _LONGEST_URN_BYTES and _URN.fullmatch(value) is not None,
        SanType.IP: len(value) in {4, 16},
    }
    if not well_formed[name.kind]:
        raise CertificateRefusedError(Reason.BAD_NAME, repr(value))


def _check_international_labels(name: SubjectAltName, ranges: Sequence[NameRange]) -> None:
    if name.kind is not SanType.DNS or not _has_international_label(name.value):
        return
    for span in ranges:
        if is_in_range(name, span) and not _has_international_label(name.value[: -len(span.value)]):
            return
    raise CertificateRefusedError(Reason.BAD_NAME, repr(name.value))


def _has_international_label(value: bytes) -> bool:
    return any(label.startswith(b"xn--") for label in value.split(b"."))


def is_in_range(name: SubjectAltName, span: NameRange) -> bool:
    """Whether a well-formed name lies in this range of a lot."""
    if span.kind is RangeKind.DNS:
        return name.kind is SanType.DNS and (name.value == span.value or name.value.endswith(b"." + span.value))
    if span.kind is RangeKind.URN:
        return name.kind is SanType.URI and name.value != span.value and name.value.startswith(span.value)
    if span.kind is RangeKind.EUI:
        return name.kind is SanType.DNS and _is_in_eui_range(name.value, span)
    return name.kind is SanType.IP and _is_in_prefix(name.value, span)


def _is_in_eui_range(value: bytes, span: NameRange) -> bool:
    label, _, realm = value.partition(b".")
    if span.bits not in {48, 64} or realm != span.value or len(label) * 4 != span.bits or not _HEX.fullmatch(label):
        return False
    return span.first <= int(label, 16) <= span.last


def _is_in_prefix(value: bytes, span: NameRange) -> bool:
    surplus = 8 * len(value) - span.bits
    if len(value) != len(span.value) or surplus < 0:
        return False
    return int.from_bytes(value) >> surplus == int.from_bytes(span.value) >> surplus
