"""Account keys: encrypted on disk, opened for signing, never written over.

Keys lie in Ethereum keystore files (Web3 Secret Storage, version 3). The passphrase is 256 random bits from a file of
mode 0600, so the slow part of scrypt, which protects passphrases that can be guessed, gives nothing here: n is 2**12,
which opens a key in about 10 ms.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address

from pki_chain.chain.accounts import Account, LocalAccount
from pki_chain.chain.typed_data import TypedData
from pki_chain.errors import ConfigurationError, InputError, StorageError
from pki_chain.ports import Address

_SCRYPT_N = 1 << 12
_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MAX_FILE_BYTES = 1 << 16


class Signer:
    """One opened key. `path` is its keystore file, or None for a key that lives in memory only."""

    def __init__(self, account: LocalAccount, path: Path | None = None) -> None:
        self._account = account
        self._path = path

    @classmethod
    def ephemeral(cls) -> Signer:
        """A fresh key that is never stored: deployment needs an account, but none that keeps a right."""
        return cls(Account.from_key(secrets.token_bytes(32)))

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    @property
    def address(self) -> Address:
        return Address(self._account.address)

    @property
    def path(self) -> Path | None:
        return self._path

    def sign(self, typed: TypedData) -> bytes:
        """65 bytes r, s, v over an EIP-712 text. Raises `InputError` when a field of it is out of range."""
        return bytes(self._account.sign_message(typed.signable()).signature)

    def sign_transaction(
        self, to: Address | None, data: bytes, *, nonce: int, gas: int, chain_id: int
    ) -> tuple[bytes, bytes]:
        """A legacy transaction of gas price 0 (the ledger is free), as raw bytes, and its hash; `to` None creates."""
        fields: dict[str, Any] = {
            "data": data,
            "value": 0,
            "gas": gas,
            "gasPrice": 0,
            "nonce": nonce,
            "chainId": chain_id,
        }
        if to is not None:
            fields["to"] = bytes.fromhex(to[2:])
        signed = self._account.sign_transaction(fields)
        return bytes(signed.raw_transaction), bytes(signed.hash)


@dataclass(frozen=True, slots=True)
class KeystoreEntry:
    """A key in a keystore: its label, its account, its file."""

    label: str
    address: Address
    path: Path


class Keystore:
    """The encrypted keys of one member, one file each (mode 0600), in one directory (mode 0700)."""

    def __init__(self, directory: Path, passphrase: bytes) -> None:
        if len(passphrase) < 32:
            raise ConfigurationError(
                f"The passphrase of keystore {directory} is shorter than 32 bytes. Make a new one."
            )
        self._directory = directory
        self._passphrase = passphrase

    @classmethod
    def open(cls, directory: Path, passphrase_file: Path) -> Keystore:
        """A keystore with the passphrase in this file. Raises `ConfigurationError`."""
        return cls(directory, load_passphrase(passphrase_file))

    def create(self, label: str) -> Address:
        """Make a key and store it under a label of lower-case letters, digits and hyphens; never over another.

        Raises `InputError` for the label, `StorageError` when it cannot be written or exists.
        """
        if not _LABEL.fullmatch(label):
            raise InputError(f"Label {label!r} must be 1 to 63 lower-case letters, digits and hyphens.")
        account = Account.from_key(secrets.token_bytes(32))
        content = Account.encrypt(account.key, self._passphrase.hex(), kdf="scrypt", iterations=_SCRYPT_N)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot make {self._directory}: {error.strerror}.") from error
        store_secret(self._directory / f"{label}.json", json.dumps(content).encode() + b"\n")
        return Address(account.address)

    def list(self) -> tuple[KeystoreEntry, ...]:
        """All keys, by label. Raises `ConfigurationError` for a file that is none."""
        return tuple(
            KeystoreEntry(path.stem, Address(to_checksum_address(_load(path)["address"])), path)
            for path in sorted(self._directory.glob("*.json"))
        )

    def load(self, address_or_label: str) -> Signer:
        """Open a key. Raises `ConfigurationError` when there is none or the passphrase is not its own."""
        for entry in self.list():
            if address_or_label in {entry.label, entry.address} or address_or_label.lower() == entry.address.lower():
                break
        else:
            raise ConfigurationError(f"Keystore {self._directory} has no key {address_or_label!r}. Make or copy it.")
        _require_private(entry.path)
        try:
            key = Account.decrypt(_load(entry.path), self._passphrase.hex())
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{entry.path} does not open with this passphrase. Give its own.") from error
        account = Account.from_key(key)
        if account.address != entry.address:
            raise ConfigurationError(f"{entry.path} holds the key of {account.address}, not of {entry.address}.")
        return Signer(account, entry.path)


def create_passphrase(path: Path) -> None:
    """Write a fresh passphrase of 256 random bits to a new file of mode 0600. Raises `StorageError`."""
    store_secret(path, secrets.token_hex(32).encode() + b"\n")


def load_passphrase(path: Path) -> bytes:
    """The passphrase in a file that nobody else may read. Raises `ConfigurationError`."""
    _require_private(path)
    try:
        content = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is not a passphrase file of 64 hexadecimal digits. Give the right one."
        ) from error
    if len(content) != 32:
        raise ConfigurationError(f"{path} is not a passphrase file of 64 hexadecimal digits. Give the right one.")
    return content


def store_secret(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600 and fsync it and its directory. Raises `StorageError`, also when it exists."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError:
            path.unlink()
            raise
        sync_directory(path.parent)
    except FileExistsError as error:
        raise StorageError(f"{path} exists and is never written over. Choose another name or move it away.") from error
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}. Free space or choose another place.") from error


def sync_directory(directory: Path) -> None:
    """Make a new or renamed file of this directory outlive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_private(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}. Give the right path.") from error
    if mode & 0o077:
        raise ConfigurationError(f"{path} can be read by others (mode {mode & 0o777:o}). Set it to 600.")


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(_MAX_FILE_BYTES))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is not an Ethereum keystore file. Move it away.") from error
    if not isinstance(content, dict) or not re.fullmatch(r"(0x)?[0-9a-fA-F]{40}", str(content.get("address"))):
        raise ConfigurationError(f"{path} is not an Ethereum keystore file. Move it away.")
    return content
