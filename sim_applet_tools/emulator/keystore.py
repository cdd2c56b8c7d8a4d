"""Where an emulated card keeps its image: an encrypted file that is replaced whole, so that a kill leaves old or new.

Layout: magic, 16 bytes of salt, 12 bytes of nonce, AES-256-GCM of the image; the key is scrypt of the passphrase.
The header is authenticated with it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sim_applet_tools.emulator.image import CardImage, encode_image, parse_image
from sim_applet_tools.errors import ConfigurationError, ReaderBusyError, StorageError

MAGIC = b"TALLYSIM1\n"
SALT_BYTES = 16
NONCE_BYTES = 12
MAX_FILE_BYTES = 65_536
SCRYPT_COST = 1 << 15


class ImageStore(Protocol):
    """Keeps one card image."""

    def load(self) -> CardImage:
        """The image stored last."""

    def store(self, image: CardImage) -> None:
        """Returns once the image is durable; a `StorageError` leaves the old one."""


class MemoryStore:
    """Forgets with the process."""

    def __init__(self, image: CardImage) -> None:
        self._image = image

    def load(self) -> CardImage:
        return self._image

    def store(self, image: CardImage) -> None:
        self._image = image


class EncryptedFileStore:
    """One file and a lock beside it, held as long as the store: two cards of one file would undo each other's PIN
    tries."""

    def __init__(self, path: Path, passphrase: str, *, image_if_new: CardImage | None = None) -> None:
        if not passphrase:
            raise ConfigurationError("the passphrase of the card file is empty")
        self._path = path
        self._lock = self._acquire_lock()
        try:
            self._open(passphrase, image_if_new)
        except BaseException:
            self.close()
            raise

    def _open(self, passphrase: str, image_if_new: CardImage | None) -> None:
        if self._path.exists():
            self._salt = self._read()[len(MAGIC) : len(MAGIC) + SALT_BYTES]
            self._cipher = _cipher(passphrase, self._salt)
            self.load()
        elif image_if_new is None:
            raise StorageError(f"no card file {self._path}: make one with `tally sim emulate {self._path} --new`")
        else:
            self._salt = secrets.token_bytes(SALT_BYTES)
            self._cipher = _cipher(passphrase, self._salt)
            self.store(image_if_new)

    def load(self) -> CardImage:
        raw = self._read()
        header = raw[: len(MAGIC) + SALT_BYTES]
        nonce = raw[len(header) : len(header) + NONCE_BYTES]
        try:
            image = self._cipher.decrypt(nonce, raw[len(header) + NONCE_BYTES :], header)
        except (InvalidTag, ValueError) as error:
            raise StorageError(f"the card file {self._path} does not open: wrong passphrase, or damaged") from error
        return parse_image(image)

    def store(self, image: CardImage) -> None:
        header = MAGIC + self._salt
        nonce = secrets.token_bytes(NONCE_BYTES)
        content = header + nonce + self._cipher.encrypt(nonce, encode_image(image), header)
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            self._replace(temporary, content)
        except OSError as error:
            raise StorageError(f"cannot write the card file {self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # also where a child that is being started has a copy of the descriptor
        os.close(self._lock)

    def _replace(self, temporary: Path, content: bytes) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            written = 0
            while written < len(content):
                written += os.write(descriptor, content[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise StorageError(f"cannot read the card file {self._path}: {error.strerror}") from error
        if not raw.startswith(MAGIC) or not len(MAGIC) + SALT_BYTES + NONCE_BYTES < len(raw) <= MAX_FILE_BYTES:
            raise StorageError(f"{self._path} is no card file of this program")
        return raw

    def _acquire_lock(self) -> int:
        path = self._path.with_name(self._path.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot write beside the card file {self._path}: {error.strerror}") from error
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        os.close(descriptor)
        raise ReaderBusyError(f"another process has the card file {self._path} open: stop it first")


def is_card_file(path: Path) -> bool:
    """Whether `path` is a file that begins as a card file does; a half-written `.new` beside one is none."""
    if path.suffix == ".new" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt, length=32, n=SCRYPT_COST, r=8, p=1).derive(passphrase.encode()))
