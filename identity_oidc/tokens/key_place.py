"""Where private signing keys are: in files of the key directory, or in a PKCS#11 token, with a public file here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from joserfc.jwk import ECKey, KeyParameters, RSAKey

from identity_oidc.config import KeySettings
from identity_oidc.errors import ConfigurationError, KeyTokenError
from tally_service.key_token import KeyKind, KeyToken, TokenEcKey, TokenError, TokenRsaKey

_RSA_BITS: Final = 2048


def create_key(settings: KeySettings, algorithm: str) -> tuple[str, str | None]:
    """Make a key; its `kid`, and its CKA_ID in hexadecimal if it is in the token that the settings name.

    Raises `OSError`, `KeyTokenError`.
    """
    token = _token(settings)
    if token is None:
        private = _generate(algorithm)
        kid = _kid(private.public_key())
        passphrase = read_passphrase(settings)
        protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        store(settings.directory / f"{kid}.pem", content, os.O_EXCL)
        return kid, None
    try:
        key_id, public = token.create(KeyKind(algorithm))
    except TokenError as error:
        raise KeyTokenError(error.message) from error
    kid = _kid(public)
    content = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    store(settings.directory / f"{kid}.pub", content, os.O_EXCL)
    return kid, key_id.hex()


def load_key(
    settings: KeySettings, kid: str, algorithm: str, token_id: str | None, passphrase: bytes | None
) -> ECKey | RSAKey:
    """A key that signs. That of a token is asked for when it signs. Raises `OSError`, `ConfigurationError`."""
    parameters: KeyParameters = {"alg": algorithm, "use": "sig", "kid": kid}
    if token_id is None:
        path = settings.directory / f"{kid}.pem"
        try:
            private: Any = load_pem_private_key(path.read_bytes(), passphrase)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{path} is no key, or keys.passphrase_file is not the one it was made with"
            ) from error
    else:
        path = settings.directory / f"{kid}.pub"
        token = _token(settings)
        if token is None:
            raise ConfigurationError(f"the key {kid} is in a token: set keys.pkcs11_module to reach it")
        try:
            public: Any = load_pem_public_key(path.read_bytes())
            private = token.private_key(bytes.fromhex(token_id), public)
        except ValueError as error:
            raise ConfigurationError(f"{path} is no public key: bring it back from a backup") from error
    if algorithm == "ES256" and isinstance(private, ec.EllipticCurvePrivateKey):
        return ECKey(private, _public_jwk(private.public_key()), parameters)
    if algorithm == "RS256" and isinstance(private, rsa.RSAPrivateKey):
        return RSAKey(private, _public_jwk(private.public_key()), parameters)
    raise ConfigurationError(f"{path} holds another kind of key than {algorithm} needs")


def try_key(key: ECKey | RSAKey) -> None:
    """Sign once where the key is in a token. Raises `KeyTokenError`."""
    private = key.private_key
    try:
        if isinstance(private, TokenEcKey):
            private.sign(b"", ec.ECDSA(SHA256()))
        elif isinstance(private, TokenRsaKey):
            private.sign(b"", PKCS1v15(), SHA256())
    except TokenError as error:
        raise KeyTokenError(error.message) from error


def read_passphrase(settings: KeySettings) -> bytes | None:
    """What the key files are encrypted with; None where they are not. Raises `OSError`."""
    return settings.passphrase_file.read_bytes().strip() if settings.passphrase_file else None


def store(path: Path, content: bytes, flag: int) -> None:
    """Write a file of mode 0600 to the disk. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _token(settings: KeySettings) -> KeyToken | None:
    if settings.pkcs11_module is None or settings.pkcs11_pin_file is None:
        return None
    return KeyToken(settings.pkcs11_module, settings.pkcs11_token, settings.pkcs11_pin_file)


def _generate(algorithm: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65_537, key_size=_RSA_BITS)


def _kid(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    kind = RSAKey if isinstance(public, rsa.RSAPublicKey) else ECKey
    return kind.import_key(_public_jwk(public)).thumbprint()[:16].lstrip("-")


def _public_jwk(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> dict[str, Any]:
    kind = RSAKey if isinstance(public, rsa.RSAPublicKey) else ECKey
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return dict(kind.import_key(pem).as_dict(private=False))
