"""What makes one certificate the work of another's key: names, key identifiers and signature.

Source: RFC 5280 §6.1.3 (a); §4.2.1.1.
"""

from __future__ import annotations

from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from pki_chain.x509.errors import AuthorityRefusedError, CertificateRefusedError
from pki_chain.x509.profile import SignatureAlgorithm
from pki_chain.x509.public_key import P256PublicKey, RsaPublicKey
from pki_chain.x509.signature import load_key, read_signature, verify_signature


class SignedCertificate(Protocol):
    """What a certificate says of who signed it."""

    @property
    def der(self) -> bytes: ...
    @property
    def tbs(self) -> bytes: ...
    @property
    def issuer(self) -> bytes: ...
    @property
    def authority_key_identifier(self) -> bytes | None: ...
    @property
    def signature_algorithm(self) -> SignatureAlgorithm: ...
    @property
    def signature(self) -> bytes: ...


class SigningCertificate(Protocol):
    """What the certificate above it says of itself."""

    @property
    def der(self) -> bytes: ...
    @property
    def subject(self) -> bytes: ...
    @property
    def spki(self) -> bytes: ...
    @property
    def key_identifier(self) -> bytes: ...
    @property
    def public_key(self) -> P256PublicKey | RsaPublicKey: ...


def verify_issued_by(child: SignedCertificate, parent: SigningCertificate, *, is_own: bool = False) -> None:
    """Whether `parent`'s key signed `child`. Raises AuthorityRefusedError, which says what does not fit.

    1. The issuer's name is the parent's subject, octet for octet.
    2. authorityKeyIdentifier is the parent's subjectKeyIdentifier; it may be missing where the two are one (`is_own`).
    3. The algorithm fits the parent's key, and the signature verifies.
    4. A second reader, cryptography, says so too.
    """
    if child.issuer != parent.subject:
        raise AuthorityRefusedError("the issuer's name is not that of the CA: give the certificate of the right CA")
    identifier = child.authority_key_identifier
    if identifier != parent.key_identifier and not (is_own and identifier is None):
        raise AuthorityRefusedError(
            "authorityKeyIdentifier is not the CA's subjectKeyIdentifier: have the CA set its keyIdentifier alone"
        )
    if isinstance(parent.public_key, P256PublicKey) != (child.signature_algorithm is SignatureAlgorithm.ECDSA_SHA256):
        raise AuthorityRefusedError(
            "the signature algorithm does not fit the CA's key: give the right CA's certificate"
        )
    try:
        read_signature(child.signature, parent.public_key)
        verify_signature(load_key(parent.spki), child.signature, child.tbs)
        x509.load_der_x509_certificate(child.der).verify_directly_issued_by(x509.load_der_x509_certificate(parent.der))
    except (CertificateRefusedError, InvalidSignature, ValueError, TypeError) as error:
        raise AuthorityRefusedError(
            "the signature is not by the CA's key: give what the CA signed, unchanged", detail=str(error)
        ) from error
