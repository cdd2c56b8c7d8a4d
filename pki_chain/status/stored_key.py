"""A private key in a directory: a file (PKCS#8 with passphrase), or a file that names it in a PKCS#11 token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.errors import ConfigurationError, StorageError
from pki_chain.x509.self_signed import create_key, load_key, store_key
from tally_service.key_token import KeyKind, KeyToken, TokenError

KEY_SUFFIX: Final = ".key"
KEY_ID_SUFFIX: Final = ".pkcs11"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A P-256 key; `key_id` is its CKA_ID in a token, None for one that is a file."""

    private_key: ec.EllipticCurvePrivateKey = field(compare=False, repr=False)
    key_id: bytes | None

    @property
    def is_in_token(self) -> bool:
        """Whether the private key never left a token."""
        return self.key_id is not None

    def store(self, stem: Path, load_passphrase: Callable[[], bytes]) -> None:
        """Write its file, named like `stem` with a suffix, in a directory that only its owner reads. Raises
        `StorageError`, `ConfigurationError`; never overwrites a key."""
        try:
            stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot make {stem.parent}: {error.strerror}. Choose another place.") from error
        if self.key_id is None:
            store_key(_place(stem, KEY_SUFFIX), self.private_key, load_passphrase())
            return
        path = _place(stem, KEY_ID_SUFFIX)
        try:
            path.write_text(self.key_id.hex() + "\n", encoding="ascii")
        except OSError as error:
            raise StorageError(f"Cannot write {path}: {error.strerror}. Free space or choose another place.") from error


def create_stored_key(token: KeyToken | None) -> StoredKey:
    """A new key, in the token where there is one. Raises `TokenError`."""
    if token is None:
        return StoredKey(create_key(), None)
    key_id, public_key = token.create(KeyKind.ES256)
    key = token.private_key(key_id, public_key)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TokenError("The token made another kind of key than it was asked for: use another token.")
    return StoredKey(key, key_id)


def has_stored_key(stem: Path) -> bool:
    """Whether a key was stored there."""
    return _place(stem, KEY_SUFFIX).exists() or _place(stem, KEY_ID_SUFFIX).exists()


def load_stored_key(
    stem: Path, public_key: object, load_passphrase: Callable[[], bytes], token: KeyToken | None
) -> StoredKey:
    """The key that belongs to this public one. Raises `InputError`, `ConfigurationError`; a token is not asked yet."""
    key_id = _load_key_id(_place(stem, KEY_ID_SUFFIX))
    private_key: object = None
    if key_id is None:
        private_key = load_key(_place(stem, KEY_SUFFIX), load_passphrase())
    elif isinstance(public_key, ec.EllipticCurvePublicKey):
        private_key = _reach(token, stem).private_key(key_id, public_key)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey) or private_key.public_key() != public_key:
        raise ConfigurationError(f"The certificate of {stem} is not that of its key. Bring it back from a backup.")
    return StoredKey(private_key, key_id)


def check_stored_keys(directory: Path, token: KeyToken | None) -> None:
    """Have the token sign once with the newest of these keys that is in it, if one is.

    Raises `ConfigurationError` where no token is named, `TokenError` where it does not sign.
    """
    named = max(directory.glob("*" + KEY_ID_SUFFIX), key=lambda path: path.stat().st_mtime_ns, default=None)
    key_id = None if named is None else _load_key_id(named)
    if named is not None and key_id is not None:
        _reach(token, named.with_suffix("")).sign(key_id, KeyKind.ES256, sha256(b"").digest())


def _reach(token: KeyToken | None, stem: Path) -> KeyToken:
    if token is None:
        path = _place(stem, KEY_ID_SUFFIX)
        raise ConfigurationError(f"The key of {path} is in a token: set gateway.pkcs11_module to reach it.")
    return token


def _load_key_id(path: Path) -> bytes | None:
    """The CKA_ID of the key in the token; None where the key is a file."""
    try:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is no key's id in hexadecimal. Bring it back from a backup.") from error


def _place(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)
