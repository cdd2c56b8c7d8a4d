"""What the read model keeps of a certificate's bytes, so that it is found by key, issuer, serial and name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.der import SEQUENCE, DerReader, read_octet_aligned_bits, read_whole
from pki_chain.x509.errors import CertificateRefusedError


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """Look-up values. `serial` is lower-case hexadecimal without leading zeros; `names` are (kind, value) pairs.

    The key's digests are of a self-signed certificate's own key. `authority_key_identifier` is that of a certificate
    that a CA issued, None for a self-signed one; `list_addresses` are its cRLDistributionPoints.
    """

    sha256: bytes
    spki_sha256: bytes | None
    key_sha1: bytes | None
    key_sha256: bytes | None
    issuer: bytes | None
    serial: str | None
    not_before: int
    not_after: int
    names: tuple[tuple[str, str], ...]
    authority_key_identifier: bytes | None = None
    list_addresses: tuple[bytes, ...] = ()


def read_key_bits(spki: bytes) -> bytes:
    """The octets of subjectPublicKey, without tag, length and unused bits. Source: RFC 5280 §4.1; RFC 6960 §4.1.1."""
    reader = DerReader(read_whole(spki, SEQUENCE).content)
    reader.read(SEQUENCE)
    return read_octet_aligned_bits(reader)


def read_certificate(der: bytes) -> CertificateRow:
    """Read the values. Bytes that the contract took and our parser refuses get a row that is expired: never good."""
    sha256 = hashlib.sha256(der).digest()
    try:
        certificate = parse_certificate(der)
    except CertificateRefusedError:
        return CertificateRow(sha256, None, None, None, None, None, 0, 0, ())
    key = read_key_bits(certificate.spki)
    return CertificateRow(
        sha256=sha256,
        spki_sha256=certificate.spki_hash,
        key_sha1=hashlib.sha1(key, usedforsecurity=False).digest() if certificate.is_self_signed else None,
        key_sha256=hashlib.sha256(key).digest() if certificate.is_self_signed else None,
        issuer=certificate.issuer,
        serial=format(certificate.serial_number, "x"),
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        names=tuple(((name.kind.name or "").lower(), name.text) for name in certificate.names),
        authority_key_identifier=None
        if certificate.is_self_signed
        else certificate.extensions.authority_key_identifier,
        list_addresses=certificate.extensions.crl_distribution_points,
    )
