"""The one session that this process has with a PKCS#11 token.

Modules are initialised without locks of their own (`C_Initialize` with no arguments): one lock goes round every call.
A session does not survive `fork`: a child makes its own. A PIN that was refused is not tried again before its file
holds another, since tokens lock after a few tries. Source: PKCS#11 v2.40 §5.4, §5.6, §6.6.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.exceptions import (
    MultipleObjectsReturned,
    MultipleTokensReturned,
    NoSuchKey,
    NoSuchToken,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    TokenNotPresent,
    TokenNotRecognised,
    UserPinNotInitialized,
)
from pkcs11.util.ec import encode_named_curve_parameters

from tally_service.key_token import KeyKind, KeyToken, PublicKey, TokenError

KEY_LABEL: Final = "tiger-tally"
KEY_ID_BYTES: Final = 16
_PAUSE_S: Final = 1.0
"""A token that cannot be used is not asked again for this long, so that requests do not queue for it."""

_PAUSES_S: Final = (0.01, 0.02, 0.04, 0.08, 0.0)
"""SoftHSM misses a token, or its files, while another process logs in there: look a few times."""

_MAX_PIN_BYTES: Final = 256
_RSA_BITS: Final = 2_048
_POINT_BYTES: Final = 65

_Found = TypeVar("_Found")


def sign(token: KeyToken, key_id: bytes, kind: KeyKind, content: bytes) -> bytes:
    """As `KeyToken.sign`."""
    return _process.use(token, lambda session: _sign(session, key_id, kind, content))


def create(token: KeyToken, kind: KeyKind) -> tuple[bytes, PublicKey]:
    """As `KeyToken.create`."""
    return _process.use(token, lambda session: _create(session, kind), is_writing=True)


def close() -> None:
    """End the session; the next use makes another."""
    _process.close()


@dataclass(slots=True)
class _Session:
    """A session that is logged in, and the keys that it found."""

    pkcs11: pkcs11.Session
    is_writing: bool
    keys: dict[bytes, Any] = field(default_factory=dict)


class _Process:
    """The one session of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: Any = None
        self._token: KeyToken | None = None
        self._session: _Session | None = None
        self._is_stale = False
        self._refused: tuple[KeyToken, str] | None = None
        self._failed: tuple[KeyToken, str, float] | None = None

    def use(self, token: KeyToken, act: Callable[[_Session], _Found], *, is_writing: bool = False) -> _Found:
        """Act in a session. What breaks off is tried once more in a new one; what makes something is not."""
        with self._lock:
            try:
                return act(self._session_with(token, is_writing))
            except PKCS11Error as error:
                self._forget()
                if is_writing:
                    raise self._failure(token, error) from error
            finally:
                if is_writing:
                    self._end_session()  # who signs needs no right to write
            try:
                return act(self._session_with(token, is_writing))
            except PKCS11Error as error:
                self._forget()
                raise self._failure(token, error) from error

    def close(self) -> None:
        with self._lock:
            self._forget()
            if self._library is not None:
                with suppress(PKCS11Error):
                    self._library.finalize()
            self._token, self._refused, self._failed = None, None, None

    def after_fork(self) -> None:
        """In the child: the session is its parent's, the lock may be held for ever, and the module starts anew."""
        self._lock = threading.Lock()
        self._session = None
        self._is_stale = True

    def _session_with(self, token: KeyToken, is_writing: bool) -> _Session:
        """The session, or another. Raises `TokenError`."""
        if token != self._token:
            self._forget()
        elif self._session is not None and self._session.is_writing >= is_writing:
            return self._session
        self._end_session()
        if self._failed is not None and self._failed[0] == token and time.monotonic() < self._failed[2]:
            raise TokenError(self._failed[1])
        pin = _read_pin(token.pin_file)
        if self._refused == (token, pin):
            raise TokenError(_refusal(token))
        for pause_s in _PAUSES_S:
            try:
                found = self._load(token.module).get_token(token_label=token.label)
                opened = found.open(rw=is_writing, user_pin=pin)
            except (PinIncorrect, PinInvalid, PinLenRange, PinLocked, PinExpired, UserPinNotInitialized) as error:
                self._refused = token, pin
                raise TokenError(_refusal(token)) from error
            except PKCS11Error as error:
                self._forget()
                problem = error
                time.sleep(pause_s)
            else:
                self._token, self._session, self._failed = token, _Session(opened, is_writing), None
                return self._session
        raise self._failure(token, problem) from problem

    def _load(self, module: Path) -> Any:
        try:
            library = pkcs11.lib(str(module))
        except PKCS11Error as error:
            raise TokenError(f"{module} is no PKCS#11 module that loads ({error}): name the token's own") from error
        if self._is_stale:
            with suppress(PKCS11Error):  # a module that noticed the fork by itself has nothing to end
                library.finalize()
            library.initialize()
            self._is_stale = False
        self._library = library
        return library

    def _forget(self) -> None:
        """End the session, and let the module look at its tokens anew."""
        self._end_session()
        self._is_stale = True

    def _end_session(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            try:
                session.pkcs11.close()
            except PKCS11Error:
                self._is_stale = True

    def _failure(self, token: KeyToken, error: PKCS11Error) -> TokenError:
        """The error, which is what is said until the token is looked for again."""
        if isinstance(error, NoSuchKey | MultipleObjectsReturned):
            return TokenError(f"The token {token.label!r} has no such key, or several: bring it back, or make another.")
        if isinstance(error, NoSuchToken | TokenNotPresent | TokenNotRecognised):
            text = "is not there: plug it in, or name another"
        elif isinstance(error, MultipleTokensReturned):
            text = "is there more than once: give it a label of its own"
        else:
            text = f"cannot do what is asked ({type(error).__name__}): is it whole and in its place?"
        message = f"The token {token.label!r} {text}."
        self._failed = token, message, time.monotonic() + _PAUSE_S
        return TokenError(message)


_process: Final = _Process()
os.register_at_fork(after_in_child=_process.after_fork)


def _sign(session: _Session, key_id: bytes, kind: KeyKind, content: bytes) -> bytes:
    key = session.keys.get(key_id)
    if key is None:
        key = session.keys[key_id] = _find(session.pkcs11, key_id)
    mechanism = Mechanism.ECDSA if kind is KeyKind.ES256 else Mechanism.SHA256_RSA_PKCS
    signature: bytes = key.sign(content, mechanism=mechanism)
    return signature


def _find(session: pkcs11.Session, key_id: bytes) -> Any:
    key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=key_id)
    if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
        raise TokenError(f"The key {key_id.hex()} may leave its token: make another, and end this one.")
    return key


def _create(session: _Session, kind: KeyKind) -> tuple[bytes, PublicKey]:
    key_id = secrets.token_bytes(KEY_ID_BYTES)
    template = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
    options: dict[str, Any] = {
        "id": key_id,
        "label": KEY_LABEL,
        "store": True,
        "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
        "private_template": template,
    }
    if kind is KeyKind.RS256:
        public, _ = session.pkcs11.generate_keypair(KeyType.RSA, _RSA_BITS, **options)
        exponent = int.from_bytes(public[Attribute.PUBLIC_EXPONENT])
        return key_id, rsa.RSAPublicNumbers(exponent, int.from_bytes(public[Attribute.MODULUS])).public_key()
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    parameters = session.pkcs11.create_domain_parameters(KeyType.EC, curve, local=True)
    public, _ = parameters.generate_keypair(**options)
    point = public[Attribute.EC_POINT][-_POINT_BYTES:]  # some tokens leave the OCTET STRING round it away
    return key_id, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def _read_pin(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(_MAX_PIN_BYTES + 1)
    except OSError as error:
        raise TokenError(f"The PIN file {path} cannot be read ({error.strerror}): give the right path.") from error
    if mode & 0o077:
        raise TokenError(f"The PIN file {path} can be read by others (mode {mode & 0o777:o}): set it to 600.")
    try:
        pin = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        pin = ""
    if not pin or len(content) > _MAX_PIN_BYTES:
        raise TokenError(f"The PIN file {path} holds no PIN in UTF-8: write the PIN and nothing else.")
    return pin


def _refusal(token: KeyToken) -> str:
    return (
        f"The token {token.label!r} refuses the PIN in {token.pin_file}, or is locked. It is not tried again until that"
        " file changes, because tokens lock after a few tries: write the right PIN."
    )
