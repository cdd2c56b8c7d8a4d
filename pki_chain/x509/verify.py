"""The whole check of one certificate: reasons 1 to 29, and 33 to 35 of one that a CA issued.

This is the validators' and stations' own code. It shares nothing with the contract, so that a defect of one is caught
by the other. Source: RFC 5280 §4.1, §6.1.3; docs/decisions/0004-certificate-rules.md.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from pki_chain.x509.certificate import Certificate, read_certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.signature import load_key, verify_signature

__all__ = ["CertificateRules", "check_certificate"]


def check_certificate(der: bytes, rules: CertificateRules) -> Certificate:
    """What the certificate says, once every rule holds and its signature is good.

    Raises CertificateRefusedError with the first reason. R-DEV-2.
    """
    # 1 to 28, 33 to 35
    certificate, issuer = read_certificate(der, rules)
    # 2 again: a second reader of the same bytes must see the same certificate
    key = _load_by_library(certificate)
    # 29
    verify_signature(key if issuer is None else load_key(issuer.spki), certificate.signature, certificate.tbs)
    return certificate


def _load_by_library(certificate: Certificate) -> CertificatePublicKeyTypes:
    try:
        loaded = x509.load_der_x509_certificate(certificate.der)
        key = loaded.public_key()
        same = (
            loaded.tbs_certificate_bytes == certificate.tbs
            and loaded.signature == certificate.signature
            and loaded.serial_number == certificate.serial_number
            and int(loaded.not_valid_after_utc.timestamp()) == certificate.not_after
            and (loaded.subject == loaded.issuer or not certificate.is_self_signed)
        )
    except (ValueError, TypeError) as error:
        raise CertificateRefusedError(Reason.MALFORMED_DER, f"cryptography: {error}") from error
    if not same:
        raise CertificateRefusedError(Reason.MALFORMED_DER, "cryptography reads another certificate")
    return key
