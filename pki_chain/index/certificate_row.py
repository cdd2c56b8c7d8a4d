"""What the read model keeps of a certificate's bytes, so that it is found by key, issuer, serial and name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.errors import CertificateRefusedError


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """Look-up values. `serial` is lower-case hexadecimal without leading zeros; `names` are (kind, value) pairs."""

    sha256: bytes
    spki_sha256: bytes | None
    issuer: bytes | None
    serial: str | None
    not_before: int
    not_after: int
    names: tuple[tuple[str, str], ...]


def read_certificate(der: bytes) -> CertificateRow:
    """Read the values. Bytes that the contract took and our parser refuses get a row that is expired: never good."""
    sha256 = hashlib.sha256(der).digest()
    try:
        certificate = parse_certificate(der)
    except CertificateRefusedError:
        return CertificateRow(sha256, None, None, None, 0, 0, ())
    return CertificateRow(
        sha256=sha256,
        spki_sha256=certificate.spki_hash,
        issuer=certificate.issuer,
        serial=format(certificate.serial_number, "x"),
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        names=tuple(((name.kind.name or "").lower(), name.text) for name in certificate.names),
    )
