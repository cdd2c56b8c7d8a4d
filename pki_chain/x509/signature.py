"""Signature values: the strict form, then verification by the library.

Source: RFC 5480 / RFC 3279 §2.2.3 (Ecdsa-Sig-Value), RFC 8017 §8.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from pki_chain.x509 import der
from pki_chain.x509.der import DerError, DerReader
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.public_key import N, P256PublicKey, RsaPublicKey
from pki_chain.x509.reasons import Reason


@dataclass(frozen=True, slots=True)
class EcdsaSignature:
    """(r, s), both from 1 to n-1; low and high s alike."""

    r: int
    s: int


def parse_ecdsa_signature(signature: bytes) -> EcdsaSignature:
    """A strict Ecdsa-Sig-Value. Raises CertificateRefusedError(BAD_SIGNATURE)."""
    try:
        reader = DerReader(der.read_whole(signature, der.SEQUENCE).content)
        r, s = (int.from_bytes(der.read_integer(reader).content, signed=True) for _ in range(2))
        reader.finish()
    except DerError as error:
        raise CertificateRefusedError(Reason.BAD_SIGNATURE, str(error)) from error
    if not (1 <= r < N and 1 <= s < N):
        raise CertificateRefusedError(Reason.BAD_SIGNATURE, "r or s out of range")
    return EcdsaSignature(r, s)


def read_signature(signature: bytes, key: P256PublicKey | RsaPublicKey) -> EcdsaSignature | None:
    """The form of a signature by this kind of key; None for RSA. Raises CertificateRefusedError(BAD_SIGNATURE)."""
    if isinstance(key, P256PublicKey):
        return parse_ecdsa_signature(signature)
    if len(signature) != (key.modulus.bit_length() + 7) // 8:
        raise CertificateRefusedError(Reason.BAD_SIGNATURE, "signature is not as long as the modulus")
    return None


@lru_cache(maxsize=64)
def load_key(spki: bytes) -> CertificatePublicKeyTypes:
    """The library's key from a SubjectPublicKeyInfo, kept: a CA signs many. Raises ValueError for what is none."""
    return serialization.load_der_public_key(spki)  # type: ignore[return-value]  # ours are P-256 and RSA only


def verify_signature(key: CertificatePublicKeyTypes, signature: bytes, signed: bytes) -> None:
    """ECDSA or PKCS#1 v1.5, with SHA-256. Raises CertificateRefusedError(BAD_SIGNATURE)."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise CertificateRefusedError(Reason.BAD_SIGNATURE, "key of another kind")
    except InvalidSignature as error:
        raise CertificateRefusedError(Reason.BAD_SIGNATURE, "does not verify") from error
