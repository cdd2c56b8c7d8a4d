"""No signature of a card is passed on unchecked: it must verify under the card's key, and no nonce may come twice."""

from __future__ import annotations

import fcntl
import os
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from sim_applet_tools.errors import SignatureRefusedError, StorageError

MARK_BYTES = 16


class SeenNonces(Protocol):
    """Remembers r of signatures."""

    def add(self, mark: bytes) -> bool:
        """Keep `mark`; False where it was there already."""


class SeenInMemory:
    """Forgets with the process."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def add(self, mark: bytes) -> bool:
        is_new = mark not in self._seen
        self._seen.add(mark)
        return is_new


class SeenInFile:
    """One line of hexadecimal a signature, appended durably and under a lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, mark: bytes) -> bool:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if mark.hex() in file.read().split():
                    return False
                file.write(mark.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(f"cannot keep the list of signatures seen in {self._path}: {error.strerror}") from error
        return True


def verify_card_signature(
    public_key: ec.EllipticCurvePublicKey, digest: bytes, signature: bytes, seen: SeenNonces
) -> None:
    """Return where r‖s verifies over the SHA-256 `digest` and r is new; `SignatureRefusedError` else.

    A card that repeats r gives its private key away (FIPS 186-5 §6.3.1), and r equal to the key's own X coordinate
    means that nonce and key are one.
    """
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        public_key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    except InvalidSignature as error:
        raise SignatureRefusedError(
            "the card's signature does not verify under its key: nothing was passed on; use another card"
        ) from error
    if r == public_key.public_numbers().x or not seen.add(sha256(signature[:32]).digest()[:MARK_BYTES]):
        raise SignatureRefusedError(
            "the card used a nonce twice, which gives its key away: take the card out of use and have it replaced"
        )
