"""The extensions that the rules know: criticality, contents, and what a profile asks of them.

Contents are read strictly, as far as the rules allow them at all. Source: RFC 5280 §4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pki_chain.x509 import der
from pki_chain.x509 import object_identifiers as oids
from pki_chain.x509.der import DerError, DerReader
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.names import GeneralName
from pki_chain.x509.profile import ExtensionKind, KeyPurpose, Profile
from pki_chain.x509.reasons import Reason
from pki_chain.x509.structure import Extension

_T = TypeVar("_T")

EXTENSIONS_MAXIMUM = 16
OTHER_PURPOSES_MAXIMUM = 16
NOTHING = ExtensionKind(0)
_LONGEST_KEY_IDENTIFIER_BYTES = 32
_URI_TAG = 0x86
_URI = re.compile(rb"[\x21-\x7e]{1,255}")

KEY_USAGE_DIGITAL_SIGNATURE = 1 << 0
KEY_USAGE_KEY_CERT_SIGN = 1 << 5
KEY_USAGE_CRL_SIGN = 1 << 6

_KINDS = {
    oids.SUBJECT_KEY_IDENTIFIER: ExtensionKind.SUBJECT_KEY_IDENTIFIER,
    oids.KEY_USAGE: ExtensionKind.KEY_USAGE,
    oids.SUBJECT_ALT_NAME: ExtensionKind.SUBJECT_ALT_NAME,
    oids.BASIC_CONSTRAINTS: ExtensionKind.BASIC_CONSTRAINTS,
    oids.CRL_DISTRIBUTION_POINTS: ExtensionKind.CRL_DISTRIBUTION_POINTS,
    oids.AUTHORITY_KEY_IDENTIFIER: ExtensionKind.AUTHORITY_KEY_IDENTIFIER,
    oids.EXTENDED_KEY_USAGE: ExtensionKind.EXTENDED_KEY_USAGE,
    oids.AUTHORITY_INFO_ACCESS: ExtensionKind.AUTHORITY_INFO_ACCESS,
}
_PURPOSES = {
    oids.SERVER_AUTH: KeyPurpose.SERVER_AUTH,
    oids.CLIENT_AUTH: KeyPurpose.CLIENT_AUTH,
    oids.IPSEC_IKE: KeyPurpose.IPSEC_IKE,
    oids.ANY_PURPOSE: KeyPurpose.ANY,
}


@dataclass(frozen=True, slots=True)
class Extensions:
    """Decoded contents; None or empty when absent. Bit i of `key_usage` is the named bit i of RFC 5280 §4.2.1.3."""

    present: ExtensionKind
    key_usage: int | None
    general_names: tuple[GeneralName, ...]
    subject_key_identifier: bytes | None
    authority_key_identifier: bytes | None
    key_purposes: tuple[bytes, ...]
    crl_distribution_points: tuple[bytes, ...]
    authority_info_access: tuple[tuple[bytes, bytes], ...]


def read_extensions(extensions: Sequence[Extension], *, san_is_critical: bool = False) -> Extensions:
    """Reasons 16 to 21, each over the whole list. Raises CertificateRefusedError.

    `san_is_critical` where the subject is empty, and only there (RFC 5280 §4.2.1.6).
    """
    if len(extensions) > EXTENSIONS_MAXIMUM:
        raise CertificateRefusedError(Reason.TOO_MANY_EXTENSIONS, f"{len(extensions)} extensions")
    if len({extension.oid for extension in extensions}) != len(extensions):
        raise CertificateRefusedError(Reason.DUPLICATE_EXTENSION)
    known: dict[ExtensionKind, Extension] = {}
    for extension in extensions:
        if extension.oid in _KINDS:
            known[_KINDS[extension.oid]] = extension
        elif extension.critical:
            raise CertificateRefusedError(Reason.UNKNOWN_CRITICAL_EXTENSION, extension.oid.hex())
    critical = {ExtensionKind.KEY_USAGE, *([ExtensionKind.SUBJECT_ALT_NAME] if san_is_critical else [])}
    for kind, extension in known.items():
        if kind is not ExtensionKind.BASIC_CONSTRAINTS and extension.critical != (kind in critical):
            raise CertificateRefusedError(Reason.BAD_CRITICALITY, kind.name or "")
    return _read_contents({kind: extension.value for kind, extension in known.items()})


def _read_contents(values: dict[ExtensionKind, bytes]) -> Extensions:
    try:
        constraints = _read_optional(values, ExtensionKind.BASIC_CONSTRAINTS, read_basic_constraints)
        present = ExtensionKind(0)
        for kind in values:
            present |= kind
        extensions = Extensions(
            present=present,
            key_usage=_read_optional(values, ExtensionKind.KEY_USAGE, read_key_usage),
            general_names=_read_optional(values, ExtensionKind.SUBJECT_ALT_NAME, _read_general_names) or (),
            subject_key_identifier=_read_optional(values, ExtensionKind.SUBJECT_KEY_IDENTIFIER, read_subject_key),
            authority_key_identifier=_read_optional(values, ExtensionKind.AUTHORITY_KEY_IDENTIFIER, read_authority_key),
            key_purposes=_read_optional(values, ExtensionKind.EXTENDED_KEY_USAGE, read_key_purposes) or (),
            crl_distribution_points=_read_optional(
                values, ExtensionKind.CRL_DISTRIBUTION_POINTS, _read_distribution_points
            )
            or (),
            authority_info_access=_read_optional(values, ExtensionKind.AUTHORITY_INFO_ACCESS, _read_access) or (),
        )
    except DerError as error:
        raise CertificateRefusedError(Reason.MALFORMED_EXTENSION, str(error)) from error
    if constraints is not None and constraints.is_authority:
        raise CertificateRefusedError(Reason.CA_CERTIFICATE)
    return extensions


def _read_optional(values: dict[ExtensionKind, bytes], kind: ExtensionKind, read: Callable[[bytes], _T]) -> _T | None:
    return read(values[kind]) if kind in values else None


def check_extensions(extensions: Extensions, profile: Profile | None, demanded: ExtensionKind = NOTHING) -> None:
    """Reasons 22 to 24; without a profile, keyUsage and what is `demanded` only. Raises CertificateRefusedError."""
    key_usage = extensions.key_usage or 0
    if not key_usage & KEY_USAGE_DIGITAL_SIGNATURE or key_usage & (KEY_USAGE_KEY_CERT_SIGN | KEY_USAGE_CRL_SIGN):
        raise CertificateRefusedError(Reason.BAD_KEY_USAGE, f"key usage bits {key_usage:#x}")
    if profile is not None:
        _check_purposes(extensions, profile)
    missing = (demanded if profile is None else profile.required_extensions | demanded) & ~extensions.present
    if missing:
        raise CertificateRefusedError(Reason.MISSING_EXTENSION, f"extensions {int(missing):#x}")


def _check_purposes(extensions: Extensions, profile: Profile) -> None:
    if ExtensionKind.EXTENDED_KEY_USAGE in extensions.present:
        purposes = key_purposes(extensions)
        others = [oid for oid in extensions.key_purposes if oid not in _PURPOSES]
        too_many = len(others) > OTHER_PURPOSES_MAXIMUM
        if too_many or profile.eku_required & ~purposes or purposes & ~profile.eku_allowed:
            raise CertificateRefusedError(Reason.BAD_EXTENDED_KEY_USAGE, f"purposes {int(purposes):#x}")
    elif not profile.eku_may_be_absent:
        raise CertificateRefusedError(Reason.BAD_EXTENDED_KEY_USAGE, "no extended key usage")


def key_purposes(extensions: Extensions) -> KeyPurpose:
    """The purposes as a bit set; every unknown one is `OTHER`."""
    purposes = KeyPurpose(0)
    for oid in extensions.key_purposes:
        purposes |= _PURPOSES.get(oid, KeyPurpose.OTHER)
    return purposes


# Contents. Each takes the octets inside the OCTET STRING and raises DerError.


@dataclass(frozen=True, slots=True)
class BasicConstraints:
    """Of a CA or not, and how many CAs may stand below; None for any number."""

    is_authority: bool
    path_length: int | None


def read_basic_constraints(value: bytes) -> BasicConstraints:
    """Raises DerError. Source: RFC 5280 §4.2.1.9."""
    reader = DerReader(der.read_whole(value, der.SEQUENCE).content)
    if reader.is_at_end:
        return BasicConstraints(is_authority=False, path_length=None)
    if reader.read(der.BOOLEAN).content != b"\xff":
        raise DerError("cA is not TRUE as DER writes it, or is an encoded default")
    path_length = None if reader.is_at_end else int.from_bytes(der.read_integer(reader).content, signed=True)
    if path_length is not None and path_length < 0:
        raise DerError("pathLenConstraint is negative")
    reader.finish()
    return BasicConstraints(is_authority=True, path_length=path_length)


def read_key_usage(value: bytes) -> int:
    """Bit i is the named bit i. Raises DerError."""
    content = der.read_whole(value, der.BIT_STRING).content
    if not 2 <= len(content) <= 3:
        raise DerError("keyUsage has no bits or more than nine")
    unused, bits = content[0], int.from_bytes(content[1:])
    # DER of a named bit list: the last bit that is written is a one (X.690 §11.2.2), padding is zero (§11.2.1).
    if unused > 7 or bits & ((2 << unused) - 1) != 1 << unused or (len(content) == 3 and unused != 7):
        raise DerError("keyUsage is not a named bit list in DER")
    return sum(1 << bit for bit in range(9) if content[1 + bit // 8 :] and content[1 + bit // 8] & 0x80 >> bit % 8)


def _read_general_names(value: bytes) -> tuple[GeneralName, ...]:
    reader, names = _read_non_empty(value), []
    while not reader.is_at_end:
        element = reader.read_any()
        if element.tag & 0xE0 != 0x80:
            raise DerError(f"name with tag {element.tag:#04x}")
        names.append(GeneralName(element.tag, element.content))
    return tuple(names)


def read_subject_key(value: bytes) -> bytes:
    """The octets of subjectKeyIdentifier. Raises DerError."""
    return _read_key_identifier(DerReader(value), der.OCTET_STRING)


def read_authority_key(value: bytes) -> bytes:
    """The octets of keyIdentifier, which must stand alone. Raises DerError."""
    return _read_key_identifier(DerReader(der.read_whole(value, der.SEQUENCE).content), 0x80)


def _read_key_identifier(reader: DerReader, tag: int) -> bytes:
    identifier = reader.read(tag).content
    reader.finish()
    if not 1 <= len(identifier) <= _LONGEST_KEY_IDENTIFIER_BYTES:
        raise DerError("key identifier is empty or longer than 32 octets")
    return identifier


def read_key_purposes(value: bytes) -> tuple[bytes, ...]:
    """The purposes' OBJECT IDENTIFIERs. Raises DerError."""
    reader, purposes = _read_non_empty(value), []
    while not reader.is_at_end:
        purposes.append(der.read_object_identifier(reader))
    # Above 16 unknown purposes no profile is met (23), so those behind them are not searched for repeats.
    known = [oid for oid in purposes if oid in _PURPOSES]
    others = [oid for oid in purposes if oid not in _PURPOSES][:OTHER_PURPOSES_MAXIMUM]
    if len(set(known)) != len(known) or len(set(others)) != len(others):
        raise DerError("the same purpose twice")
    return tuple(purposes)


def _read_distribution_points(value: bytes) -> tuple[bytes, ...]:
    points, uris = _read_non_empty(value), []
    while not points.is_at_end:
        point = der.read_whole(points.read(der.SEQUENCE).content, 0xA0)
        full_name = DerReader(der.read_whole(point.content, 0xA0).content)
        uris.append(_read_uri(full_name))
        while not full_name.is_at_end:
            uris.append(_read_uri(full_name))
    return tuple(uris)


def _read_access(value: bytes) -> tuple[tuple[bytes, bytes], ...]:
    reader, descriptions = _read_non_empty(value), []
    while not reader.is_at_end:
        description = DerReader(reader.read(der.SEQUENCE).content)
        descriptions.append((der.read_object_identifier(description), _read_uri(description)))
        description.finish()
    return tuple(descriptions)


def _read_non_empty(value: bytes) -> DerReader:
    content = der.read_whole(value, der.SEQUENCE).content
    if not content:
        raise DerError("SEQUENCE without an element")
    return DerReader(content)


def _read_uri(reader: DerReader) -> bytes:
    uri = reader.read(_URI_TAG).content
    if not _URI.fullmatch(uri):
        raise DerError("URI is empty, longer than 255 octets or not visible ASCII")
    return uri
