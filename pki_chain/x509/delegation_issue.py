"""Making a delegated signer's certificate with a CA's key that is a file.

A CA whose key is in an HSM makes it with its own software; what is wanted then: docs/ca-issued.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki_chain.errors import InputError
from pki_chain.ports import DelegationKind
from pki_chain.x509.authority import AuthorityCertificate
from pki_chain.x509.delegation import LONGEST_S, check_delegation
from pki_chain.x509.self_signed import create_serial_number

AuthorityKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400
_BACKDATED_S: Final = 300


def load_authority_key(path: Path, passphrase: bytes | None = None) -> AuthorityKey:
    """A CA's P-256 or RSA key from PKCS#8 PEM. Raises InputError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"key {path}: cannot be read; check the file and its passphrase", detail=str(error)) from error
    if isinstance(key, rsa.RSAPrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise InputError(f"key {path}: neither a P-256 nor an RSA key; give the CA's own key")


def load_request(path: Path) -> x509.CertificateSigningRequest:
    """A PKCS#10 request in PEM whose signature proves its key. Raises InputError."""
    try:
        request = x509.load_pem_x509_csr(path.read_bytes())
        is_good = request.is_signature_valid
    except (OSError, ValueError, TypeError, InvalidSignature) as error:
        raise InputError(f"request {path}: cannot be read as PKCS#10 in PEM", detail=str(error)) from error
    if not is_good:
        raise InputError(f"request {path}: its signature does not verify; have the signer make it again")
    return request


def issue_delegation(
    key: AuthorityKey,
    authority: AuthorityCertificate,
    request: x509.CertificateSigningRequest,
    kind: DelegationKind,
    *,
    not_before: int,
    lifetime_days: int,
) -> bytes:
    """A certificate for the key of the request to sign in the CA's place, checked before it is given; DER.

    Of the request nothing but the key is taken. Raises InputError for a key that is not the CA's or too long a life,
    AuthorityRefusedError for what the trust list would not take.
    """
    own = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if own != authority.spki:
        raise InputError("the key is not that of the CA's certificate: give the two that belong together")
    life_s = lifetime_days * _DAY_S
    if not 0 < life_s <= LONGEST_S[kind]:
        raise InputError(f"{lifetime_days} days: give 1 to {LONGEST_S[kind] // _DAY_S}")
    begin = max(not_before - _BACKDATED_S, authority.not_before)
    end = min(begin + life_s, authority.not_after)
    issuer = x509.load_der_x509_certificate(authority.der)
    is_ocsp = kind is DelegationKind.OCSP_SIGNING
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OCSP signer")]) if is_ocsp else issuer.subject
    builder = (
        x509.CertificateBuilder()
        .serial_number(create_serial_number())
        .issuer_name(issuer.subject)
        .subject_name(subject)
        .not_valid_before(_EPOCH + timedelta(seconds=begin))
        .not_valid_after(_EPOCH + timedelta(seconds=end))
        .public_key(request.public_key())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(authority.key_identifier, None, None), critical=False)
        .add_extension(_usage(is_ocsp=is_ocsp), critical=True)
    )
    if is_ocsp:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    check_delegation(der, authority)
    return der


def _usage(*, is_ocsp: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=is_ocsp,
        crl_sign=not is_ocsp,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
