"""Subject public keys: P-256 points and RSA moduli, checked by own arithmetic before any library sees them.

Source: RFC 5480 §2.2, RFC 3279 §2.3.1, SEC 1 §2.3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from pki_chain.x509 import der
from pki_chain.x509 import object_identifiers as oids
from pki_chain.x509.der import DerError, DerReader
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.profile import KeyAlgorithm
from pki_chain.x509.reasons import Reason
from pki_chain.x509.structure import SubjectPublicKeyInfo

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_COORDINATE_BYTES = 32
_EXPONENT = 65_537
_ALGORITHMS = {oids.EC_PUBLIC_KEY_P256: KeyAlgorithm.P256, oids.RSA_ENCRYPTION: KeyAlgorithm.RSA}


@dataclass(frozen=True, slots=True)
class P256PublicKey:
    """A point on P-256."""

    x: int
    y: int

    def encoded_point(self) -> bytes:
        """04 || x || y, 65 bytes."""
        return b"\x04" + self.x.to_bytes(_COORDINATE_BYTES) + self.y.to_bytes(_COORDINATE_BYTES)


@dataclass(frozen=True, slots=True)
class RsaPublicKey:
    """A modulus of 2,048 to 4,096 bits; the exponent is 65,537."""

    modulus: int


def is_on_curve(x: int, y: int) -> bool:
    """Whether (x, y) is an affine point of P-256 with reduced coordinates."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x - 3 * x + _B)) % P == 0


def key_algorithm(spki: SubjectPublicKeyInfo) -> KeyAlgorithm | None:
    """Which known kind of key this is, or None."""
    return _ALGORITHMS.get(spki.algorithm)


def read_public_key(key: bytes, algorithm: KeyAlgorithm) -> P256PublicKey | RsaPublicKey:
    """The key itself, from the octets of subjectPublicKey. Raises CertificateRefusedError(BAD_POINT)."""
    return _read_point(key) if algorithm is KeyAlgorithm.P256 else _read_modulus(key)


def _read_point(key: bytes) -> P256PublicKey:
    if len(key) != 1 + 2 * _COORDINATE_BYTES or key[0] != 0x04:
        raise CertificateRefusedError(Reason.BAD_POINT, "not 65 bytes that begin with 04")
    x, y = int.from_bytes(key[1:33]), int.from_bytes(key[33:])
    if not is_on_curve(x, y):
        raise CertificateRefusedError(Reason.BAD_POINT, "not on the curve")
    return P256PublicKey(x, y)


def _read_modulus(key: bytes) -> RsaPublicKey:
    try:
        reader = DerReader(der.read_whole(key, der.SEQUENCE).content)
        modulus, exponent = (int.from_bytes(der.read_integer(reader).content, signed=True) for _ in range(2))
        reader.finish()
    except DerError as error:
        raise CertificateRefusedError(Reason.BAD_POINT, str(error)) from error
    if modulus <= 0 or not 2_048 <= modulus.bit_length() <= 4_096 or modulus % 2 == 0 or exponent != _EXPONENT:
        raise CertificateRefusedError(Reason.BAD_POINT, "modulus or exponent out of range")
    return RsaPublicKey(modulus)
