"""Keys in a PKCS#11 token or HSM, as the keys of `cryptography` that its builders and JOSE libraries take.

They are made in the token and never leave it; what is not signing is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class TokenError(Exception):
    """The token does not sign: it is not there, refuses the PIN, or lacks the key. The text names what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class KeyKind(Enum):
    """What keys are made (P-256, RSA of 2,048 bits), by the names of RFC 7518 §3.1."""

    ES256 = "ES256"
    RS256 = "RS256"


@dataclass(frozen=True, slots=True)
class KeyToken:
    """A token by its label, the module that speaks to it, and the file (mode 0600) with its user's PIN."""

    module: Path
    label: str
    pin_file: Path

    def create(self, kind: KeyKind) -> tuple[bytes, PublicKey]:
        """Make a pair, sensitive and not extractable; its CKA_ID (16 random octets) and public key.

        Raises `TokenError`.
        """
        found: tuple[bytes, PublicKey] = _sessions().create(self, kind)
        return found

    def sign(self, key_id: bytes, kind: KeyKind, content: bytes) -> bytes:
        """For ES256 `content` is the SHA-256 digest, and the answer r and s of 32 octets; for RS256 it is the message.

        Raises `TokenError`.
        """
        found: bytes = _sessions().sign(self, key_id, kind, content)
        return found

    def private_key(self, key_id: bytes, public_key: PublicKey) -> TokenEcKey | TokenRsaKey:
        """The key of this CKA_ID as one of `cryptography`; the token is asked when it signs."""
        if isinstance(public_key, rsa.RSAPublicKey):
            return TokenRsaKey(self, key_id, public_key)
        return TokenEcKey(self, key_id, public_key)


class TokenEcKey(ec.EllipticCurvePrivateKey):
    """A P-256 key. Its first signature is verified: the token must hold the very key that the public one belongs to."""

    def __init__(self, token: KeyToken, key_id: bytes, public_key: ec.EllipticCurvePublicKey) -> None:
        self._token = token
        self._key_id = key_id
        self._public_key = public_key
        self._is_verified = False

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """ECDSA with SHA-256 in DER. Raises `TokenError`, and `TypeError` for another algorithm."""
        if not isinstance(signature_algorithm, ec.ECDSA) or not isinstance(signature_algorithm.algorithm, SHA256):
            raise TypeError("keys in a token sign with SHA-256 alone")
        raw = self._token.sign(self._key_id, KeyKind.ES256, sha256(data).digest())
        signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        if not self._is_verified:
            try:
                self._public_key.verify(signature, data, signature_algorithm)
            except InvalidSignature:
                raise TokenError(_stranger(self._key_id)) from None
            self._is_verified = True
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def exchange(self, *_: Any) -> NoReturn:
        raise _refusal()

    def private_numbers(self) -> NoReturn:
        raise _refusal()

    def private_bytes(self, *_: Any) -> NoReturn:
        raise _refusal()

    def __copy__(self) -> TokenEcKey:
        return self

    def __deepcopy__(self, _: object) -> TokenEcKey:
        return self


class TokenRsaKey(rsa.RSAPrivateKey):
    """An RSA key; otherwise as `TokenEcKey`."""

    def __init__(self, token: KeyToken, key_id: bytes, public_key: rsa.RSAPublicKey) -> None:
        self._token = token
        self._key_id = key_id
        self._public_key = public_key
        self._is_verified = False

    def sign(self, data: Any, padding: AsymmetricPadding, algorithm: Any) -> bytes:
        """RSASSA-PKCS1-v1_5 with SHA-256. Raises `TokenError`, and `TypeError` for another algorithm."""
        if not isinstance(padding, PKCS1v15) or not isinstance(algorithm, SHA256):
            raise TypeError("keys in a token sign with PKCS#1 v1.5 and SHA-256 alone")
        signature = self._token.sign(self._key_id, KeyKind.RS256, bytes(data))
        if not self._is_verified:
            try:
                self._public_key.verify(signature, data, padding, algorithm)
            except InvalidSignature:
                raise TokenError(_stranger(self._key_id)) from None
            self._is_verified = True
        return signature

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public_key

    @property
    def key_size(self) -> int:
        return self._public_key.key_size

    def decrypt(self, *_: Any) -> NoReturn:
        raise _refusal()

    def private_numbers(self) -> NoReturn:
        raise _refusal()

    def private_bytes(self, *_: Any) -> NoReturn:
        raise _refusal()

    def __copy__(self) -> TokenRsaKey:
        return self

    def __deepcopy__(self, _: object) -> TokenRsaKey:
        return self


def close_session() -> None:
    """End this process's session; the next signature makes another."""
    _sessions().close()


def _sessions() -> ModuleType:
    try:
        from tally_service import pkcs11_session  # noqa: PLC0415  an extra
    except ImportError as error:
        raise TokenError("Keys in a token need the extra: pip install 'tiger-tally[pkcs11]'.") from error
    return pkcs11_session


def _stranger(key_id: bytes) -> str:
    return f"The token's key {key_id.hex()} is not the one whose public key is here: bring the right token."


def _refusal() -> TokenError:
    return TokenError("A key in a token signs and does nothing else, and never leaves it.")
