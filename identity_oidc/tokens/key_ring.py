"""The provider's signing keys, in files or a token, and `keys.json` that says from when to when each signs and is
published.

A key is published before it signs, and after it signed for the last time: whoever keeps our JWKS for a while never
misses one. A running provider looks at `keys.json` again every few seconds.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from joserfc.jwk import ECKey, RSAKey

from identity_oidc.config import KeySettings
from identity_oidc.errors import ConfigurationError, InputError, StorageError
from identity_oidc.ports import Clock
from identity_oidc.tokens.key_place import create_key, load_key, read_passphrase, store, try_key

LIST_FILE: Final = "keys.json"
ALGORITHMS: Final = ("ES256", "RS256")


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A line of keys.json; times in seconds since 1970. `signs_until` is None for a key without a successor.

    `token_id` is the CKA_ID, in hexadecimal, of a key in a PKCS#11 token; None for a file.
    """

    kid: str
    algorithm: str
    created_at: int
    signs_from: int
    signs_until: int | None = None
    token_id: str | None = None

    def is_published(self, now: float, keep_after_s: int) -> bool:
        return self.signs_until is None or now < self.signs_until + keep_after_s

    def signs(self, now: float) -> bool:
        return self.signs_from <= now and (self.signs_until is None or now < self.signs_until)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that is loaded."""

    entry: KeyEntry
    key: ECKey | RSAKey

    def public_jwk(self) -> dict[str, Any]:
        return dict(self.key.as_dict(private=False))


class KeyRing:
    """All keys of a directory. Safe for threads."""

    def __init__(self, settings: KeySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, SigningKey] = {}
        self._version: tuple[int, int, int] | None = None
        self._look_at = 0.0
        self._tried = ("", 0.0)

    @classmethod
    def open(cls, settings: KeySettings, clock: Clock) -> Self:
        """Load all keys. Raises `ConfigurationError` where there is none that signs, or one cannot be read, and
        `KeyTokenError` where its token does not sign."""
        ring = cls(settings, clock)
        for algorithm in ALGORITHMS:
            try_key(ring.signing_key(algorithm).key)
        return ring

    def signing_key(self, algorithm: str) -> SigningKey:
        """The key that signs now. Raises `ConfigurationError` where there is none."""
        self._look()
        now = self._clock()
        keys = [key for key in self._keys.values() if key.entry.algorithm == algorithm and key.entry.signs(now)]
        if not keys:
            raise ConfigurationError(
                f"{self._settings.directory}: no key signs {algorithm} now: make one with `tally oidc keys new`"
            )
        return max(keys, key=lambda key: key.entry.signs_from)

    def check(self) -> None:
        """That the key which signs now does; a token is asked every `look_every_s` at most, as anybody may ask us.

        Raises `ConfigurationError`, `KeyTokenError`.
        """
        signing, now = self.signing_key("ES256"), self._clock()
        kid, until = self._tried
        if signing.entry.kid != kid or now >= until:
            try_key(signing.key)
            self._tried = signing.entry.kid, now + self._settings.look_every_s

    def published(self) -> list[SigningKey]:
        """The keys that verifiers may meet, next to sign included."""
        self._look()
        now = self._clock()
        return [key for key in self._keys.values() if key.entry.is_published(now, self._settings.keep_after_s)]

    def jwks(self) -> dict[str, Any]:
        """The JWK Set. Source: RFC 7517 §5."""
        return {"keys": [key.public_jwk() for key in self.published()]}

    def _look(self) -> None:
        """Load again what changed on disk; a key directory that cannot be read leaves the keys as they are."""
        now = self._clock()
        with self._lock:
            if self._keys and now < self._look_at:
                return
            self._look_at = now + self._settings.look_every_s
            path = self._settings.directory / LIST_FILE
            try:
                stat = path.stat()
                version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if version == self._version:
                    return
                entries = load_entries(self._settings.directory)
                passphrase = read_passphrase(self._settings)
                self._keys = {
                    entry.kid: replace(known, entry=entry)
                    if (known := self._keys.get(entry.kid))
                    else _load(self._settings, entry, passphrase)
                    for entry in entries
                }
            except OSError as error:
                if not self._keys:
                    raise ConfigurationError(
                        f"{path} cannot be read ({error.strerror}): make keys with `tally oidc keys new`"
                    ) from error
            else:
                self._version = version


def rotate(settings: KeySettings, clock: Clock, algorithm: str, *, at_once: bool = False) -> KeyEntry:
    """Make a key that signs after `publish_before_s` (the first one: now), and end its predecessor then.

    `at_once` is for a key that is no longer trusted: its predecessors are not published any more.
    Raises `InputError` for an algorithm that is not ours, `StorageError`, `KeyTokenError`.
    """
    if algorithm not in ALGORITHMS:
        raise InputError(f"{algorithm!r} is no algorithm for keys here: {' or '.join(ALGORITHMS)}")
    now = int(clock())
    try:
        settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        entries = load_entries(settings.directory) if (settings.directory / LIST_FILE).exists() else []
        followed = any(entry.algorithm == algorithm and entry.signs_until is None for entry in entries)
        signs_from = now + settings.publish_before_s if followed and not at_once else now
        kid, token_id = create_key(settings, algorithm)
        entries = [
            replace(entry, signs_until=signs_from)
            if entry.algorithm == algorithm and entry.signs_until is None
            else entry
            for entry in entries
            if entry.is_published(now, settings.keep_after_s) and not (at_once and entry.algorithm == algorithm)
        ]
        made = KeyEntry(kid, algorithm, now, signs_from, token_id=token_id)
        _store_entries(settings.directory, [*entries, made])
    except OSError as error:
        raise StorageError(f"{settings.directory} cannot be written ({error.strerror})") from error
    return made


def load_entries(directory: Path) -> list[KeyEntry]:
    """The lines of keys.json. Raises `OSError`, `ConfigurationError`."""
    path = directory / LIST_FILE
    try:
        return [KeyEntry(**line) for line in json.loads(path.read_text("utf-8"))["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} is damaged: bring it back from a backup") from error


def _store_entries(directory: Path, entries: list[KeyEntry]) -> None:
    lines = [{name: getattr(entry, name) for name in KeyEntry.__slots__} for entry in entries]
    temporary = directory / f"{LIST_FILE}.new"
    store(temporary, json.dumps({"keys": lines}, indent=2).encode(), os.O_TRUNC)
    temporary.replace(directory / LIST_FILE)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(settings: KeySettings, entry: KeyEntry, passphrase: bytes | None) -> SigningKey:
    return SigningKey(entry, load_key(settings, entry.kid, entry.algorithm, entry.token_id, passphrase))
