"""The outer structure of a certificate: every part found and of the right shape, none of them understood yet.

Source: RFC 5280 §4.1; docs/decisions/0004-certificate-rules.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.x509 import der
from pki_chain.x509.der import DerError, DerReader, Element
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.reasons import Reason

MAX_DER_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class Extension:
    """One Extension: the content octets of its OID, and the content of its OCTET STRING."""

    oid: bytes
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class SubjectPublicKeyInfo:
    """The whole TLV, the TLV of its AlgorithmIdentifier, and the octets of its BIT STRING."""

    encoded: bytes
    algorithm: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Attribute:
    """One AttributeTypeAndValue: OID content, tag of the value, content of the value."""

    oid: bytes
    tag: int
    value: bytes


@dataclass(frozen=True, slots=True)
class CertificateStructure:
    """The parts of one certificate. Algorithms, names and the signed part are whole TLVs.

    `version` and `serial_number` are the content octets of the INTEGER (`version` None when it is absent); each RDN of
    `subject_rdns` is a tuple of its attributes; `signature` holds the octets of the BIT STRING.
    """

    der: bytes
    tbs: bytes
    version: bytes | None
    serial_number: bytes
    inner_algorithm: bytes
    outer_algorithm: bytes
    issuer: bytes
    subject: bytes
    subject_rdns: tuple[tuple[Attribute, ...], ...]
    not_before: Element
    not_after: Element
    spki: SubjectPublicKeyInfo
    extensions: tuple[Extension, ...]
    signature: bytes


def read_structure(certificate: bytes) -> CertificateStructure:
    """Take a certificate apart. Raises CertificateRefusedError: ENTRY_TOO_LARGE or MALFORMED_DER."""
    if len(certificate) > MAX_DER_BYTES:
        raise CertificateRefusedError(Reason.ENTRY_TOO_LARGE, f"{len(certificate)} bytes")
    try:
        return _read_certificate(certificate)
    except DerError as error:
        raise CertificateRefusedError(Reason.MALFORMED_DER, str(error)) from error


def _read_certificate(certificate: bytes) -> CertificateStructure:
    outer = DerReader(der.read_whole(certificate, der.SEQUENCE).content)
    tbs = outer.read(der.SEQUENCE)
    outer_algorithm = _read_algorithm(outer)
    signature = der.read_octet_aligned_bits(outer)
    outer.finish()

    inner = DerReader(tbs.content)
    version = _read_version(inner)
    serial_number = der.read_integer(inner).content
    inner_algorithm = _read_algorithm(inner)
    issuer = inner.read(der.SEQUENCE)
    not_before, not_after = _read_validity(inner)
    subject = inner.read(der.SEQUENCE)
    spki = _read_spki(inner)
    extensions = _read_extensions(inner)
    inner.finish()
    if issuer.encoded != subject.encoded:
        _read_rdns(issuer)
    return CertificateStructure(
        der=certificate,
        tbs=tbs.encoded,
        version=version,
        serial_number=serial_number,
        inner_algorithm=inner_algorithm,
        outer_algorithm=outer_algorithm,
        issuer=issuer.encoded,
        subject=subject.encoded,
        subject_rdns=_read_rdns(subject),
        not_before=not_before,
        not_after=not_after,
        spki=spki,
        extensions=extensions,
        signature=signature,
    )


def _read_algorithm(reader: DerReader) -> bytes:
    algorithm = reader.read(der.SEQUENCE)
    inner = DerReader(algorithm.content)
    der.read_object_identifier(inner)
    if not inner.is_at_end:
        inner.read_any()
    inner.finish()
    return algorithm.encoded


def _read_version(reader: DerReader) -> bytes | None:
    if not reader.is_next(0xA0):
        return None
    explicit = DerReader(reader.read_any().content)
    version = der.read_integer(explicit)
    explicit.finish()
    return version.content


def _read_validity(reader: DerReader) -> tuple[Element, Element]:
    validity = DerReader(reader.read(der.SEQUENCE).content)
    times = validity.read_any(), validity.read_any()
    validity.finish()
    if any(time.tag not in {der.UTC_TIME, der.GENERALIZED_TIME} for time in times):
        raise DerError("a time is neither UTCTime nor GeneralizedTime")
    return times


def _read_rdns(name: Element) -> tuple[tuple[Attribute, ...], ...]:
    rdns, found = DerReader(name.content), []
    while not rdns.is_at_end:
        attributes, rdn = DerReader(rdns.read(der.SET).content), []
        while not attributes.is_at_end:
            rdn.append(_read_attribute(DerReader(attributes.read(der.SEQUENCE).content)))
        found.append(tuple(rdn))
    return tuple(found)


def _read_attribute(reader: DerReader) -> Attribute:
    oid = der.read_object_identifier(reader)
    value = reader.read_any()
    reader.finish()
    return Attribute(oid, value.tag, value.content)


def _read_spki(reader: DerReader) -> SubjectPublicKeyInfo:
    spki = reader.read(der.SEQUENCE)
    inner = DerReader(spki.content)
    algorithm = _read_algorithm(inner)
    key = der.read_octet_aligned_bits(inner)
    inner.finish()
    return SubjectPublicKeyInfo(spki.encoded, algorithm, key)


def _read_extensions(reader: DerReader) -> tuple[Extension, ...]:
    if reader.is_at_end:
        return ()
    explicit = DerReader(reader.read(0xA3).content)
    listed = DerReader(explicit.read(der.SEQUENCE).content)
    explicit.finish()
    extensions = [_read_extension(listed)]
    while not listed.is_at_end:
        extensions.append(_read_extension(listed))
    return tuple(extensions)


def _read_extension(reader: DerReader) -> Extension:
    inner = DerReader(reader.read(der.SEQUENCE).content)
    oid = der.read_object_identifier(inner)
    critical = inner.is_next(der.BOOLEAN)
    if critical and inner.read_any().content != b"\xff":
        raise DerError("critical is not TRUE as DER writes it, or is an encoded default")
    value = inner.read(der.OCTET_STRING).content
    inner.finish()
    return Extension(oid, critical, value)
