"""Who may sign an OCSP answer: a key that the reader was given, or one that the certificate's CA delegated.

Source: RFC 6960 §3.2, §4.2.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID


def find_issuer(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The one of these CAs whose name and key issued the certificate; None where it is nobody's."""
    return next((each for each in authorities if _issued(certificate, each)), None)


def is_signed_by(answer: ocsp.OCSPResponse, signer: x509.Certificate, now: float) -> bool:
    """Whether this signer, in its time, signed the answer."""
    if not signer.not_valid_before_utc.timestamp() <= now <= signer.not_valid_after_utc.timestamp():
        return False
    key, algorithm = signer.public_key(), answer.signature_hash_algorithm
    if algorithm is None:
        return False
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def is_signed_for(answer: ocsp.OCSPResponse, authority: x509.Certificate, now: float) -> bool:
    """Whether the CA signed the answer, or somebody whom it certified for OCSP and whose certificate is with it."""
    if is_signed_by(answer, authority, now):
        return True
    return any(
        _is_delegate(each) and _issued(each, authority) and is_signed_by(answer, each, now)
        for each in answer.certificates
    )


def _is_delegate(certificate: x509.Certificate) -> bool:
    """id-kp-OCSPSigning stands in it by name: anyExtendedKeyUsage is not enough."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
