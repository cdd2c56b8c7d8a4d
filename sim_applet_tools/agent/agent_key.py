"""The agent's own key: P-256, one for each provider, so that two providers do not see one agent.

It proves who calls (DPoP) and opens challenges; it never stands for the person: approvals are signed by the card.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sim_applet_tools.errors import InputError, StorageError

PRIVATE_MODE = 0o600
MAX_KEY_BYTES = 4096


def create_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def store_key(path: Path, key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> None:
    """PKCS#8 in PEM, readable by its owner only; encrypted where there is a passphrase. Never overwrites."""
    encryption: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"cannot write the agent's key {path}: {error.strerror}") from error


def load_key(path: Path, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    """The key in `path`; `InputError` for another passphrase or key, `StorageError` where others may read the file."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise StorageError(f"others may read the agent's key {path}: chmod 600 it, and better enrol anew")
            pem = file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise StorageError(f"cannot read the agent's key {path}: {error.strerror}") from error
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError) as error:
        need = "give its passphrase with --key-passphrase-file" if passphrase is None else "check the passphrase"
        raise InputError(f"the agent's key {path} cannot be opened: {need}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(f"the agent's key {path} is no P-256 key: enrol anew")
    return key
