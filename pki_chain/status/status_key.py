"""Keys that a gateway signs answers about status with: OCSP responses, revocation lists, manifests of bundles.

A directory of certificates; the key of each is a file beside it (PKCS#8 with passphrase), or in a PKCS#11 token and
named there. The latest that has begun signs; all that
have not ended are published, also those that have not begun, so that a relying party knows the next one before it is
used, and the last one until its last answer is out of date: no gap. Source: RFC 6960 §4.2.2.2 (locally configured).
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki_chain.errors import ConfigurationError, StorageError, TallyError
from pki_chain.x509.self_signed import create_key, load_key, store_certificate, store_key
from tally_service.key_token import KeyKind, KeyToken, TokenError

log = logging.getLogger(__name__)

LIFETIME_S: Final = 365 * 86_400
RENEW_BEFORE_S: Final = 60 * 86_400
LEAD_S: Final = 14 * 86_400
"""A new key is published for this long before it signs."""

COMMON_NAME: Final = "certificate status"
_LOOK_EVERY_S: Final = 1.0
_KEY_ID_SUFFIX: Final = ".pkcs11"
_ALGORITHM: Final = ec.ECDSA(hashes.SHA256())
_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class NoStatusKeyError(TallyError):
    """This gateway has no key that may sign now."""

    code = "no-status-key"
    http_status = 503
    exit_code = 78


@dataclass(frozen=True, slots=True)
class StatusKey:
    """One key. `certificate` is DER; `name` its subject's; `key_sha1` names the key in OCSP answers, `key_identifier`
    in lists; times as elsewhere; `is_in_token` says that the private key never left a PKCS#11 token."""

    certificate: bytes
    name: bytes
    key_sha1: bytes
    key_identifier: bytes
    begins: int
    ends: int
    is_in_token: bool
    private_key: ec.EllipticCurvePrivateKey = field(compare=False, repr=False)

    def sign(self, content: bytes) -> bytes:
        """ECDSA with SHA-256 over these octets, in DER. Raises `NoStatusKeyError` while its token does not sign."""
        try:
            return self.private_key.sign(content, _ALGORITHM)
        except TokenError as error:
            log.error("no answer about status is signed: %s", error.message)  # noqa: TRY400  the text says it all
            raise NoStatusKeyError(
                "This gateway cannot sign answers now. Ask another gateway.", detail=error.message
            ) from error


class StatusKeys:
    """The keys in a directory; what another process adds is seen within a second. Safe for threads."""

    def __init__(self, directory: Path, load_passphrase: Callable[[], bytes], token: KeyToken | None = None) -> None:
        """With a token new keys are made in it; those of files go on until they end."""
        self._directory = directory
        self._load_passphrase = load_passphrase
        self._token = token
        self._lock = threading.Lock()
        self._looked_at = -_LOOK_EVERY_S
        self._seen: tuple[str, ...] = ()
        self._keys: tuple[StatusKey, ...] = ()

    def signer(self, now: float) -> StatusKey:
        """The key that signs now. Raises `NoStatusKeyError`."""
        able = [key for key in self._all() if key.begins <= now < key.ends]
        if not able:
            raise NoStatusKeyError(
                "This gateway has no key to sign answers with. Ask another gateway; its operator runs"
                " `tally gateway status-key`."
            )
        return able[-1]

    def published(self, now: float) -> tuple[StatusKey, ...]:
        """All keys whose signature may be met now or soon, in the order of their beginning."""
        return tuple(key for key in self._all() if now < key.ends)

    def create(self, organisation: str, begins: int, lifetime_s: int = LIFETIME_S) -> bytes:
        """Make a key that signs from this time on; its certificate.

        Raises `StorageError`, `ConfigurationError`, and `NoStatusKeyError` where the token makes none.
        """
        key: ec.EllipticCurvePrivateKey
        try:
            key_id, key = _create_in(self._token) if self._token else (None, create_key())
            certificate = _certify(key, organisation, begins, begins + lifetime_s)
        except TokenError as error:
            raise NoStatusKeyError(error.message) from error
        stem = f"{begins}-{hashlib.sha256(certificate).hexdigest()[:16]}"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot make {self._directory}: {error.strerror}. Choose another place.") from error
        if key_id is None:
            store_key(self._directory / f"{stem}.key", key, self._load_passphrase())
        else:
            _store_key_id(self._directory / f"{stem}{_KEY_ID_SUFFIX}", key_id)
        store_certificate(self._directory / f"{stem}.cer", certificate)
        self._looked_at = -_LOOK_EVERY_S
        return certificate

    def renew(self, organisation: str, now: int) -> bytes | None:
        """Make a key where there is none, or where the last one comes to its end; its certificate, or None."""
        keys = self._all()
        if not [key for key in keys if key.begins <= now < key.ends]:
            return self.create(organisation, now - 60)
        if keys[-1].ends - now < RENEW_BEFORE_S:
            return self.create(organisation, min(now + LEAD_S, keys[-1].ends - 86_400))
        return None

    def check(self, now: float) -> None:
        """Sign once with the key that signs now. Raises `NoStatusKeyError`, which says what is wrong with a token."""
        try:
            self.signer(now).private_key.sign(b"", _ALGORITHM)
        except TokenError as error:
            raise NoStatusKeyError(error.message) from error

    def _all(self) -> tuple[StatusKey, ...]:
        ticks = time.monotonic()
        if ticks - self._looked_at < _LOOK_EVERY_S:
            return self._keys
        with self._lock:
            names = tuple(sorted(path.name for path in self._directory.glob("*.cer")))
            if names != self._seen:
                passphrase = self._load_passphrase()
                keys = [_load(self._directory / name, passphrase, self._token) for name in names]
                self._keys, self._seen = tuple(sorted(keys, key=lambda key: (key.begins, key.key_sha1))), names
            self._looked_at = ticks
        return self._keys


def _load(path: Path, passphrase: bytes, token: KeyToken | None) -> StatusKey:
    content = path.read_bytes()
    certificate = x509.load_der_x509_certificate(content)
    public_key = certificate.public_key()
    key_id = _load_key_id(path.with_suffix(_KEY_ID_SUFFIX))
    private_key: object
    if key_id is None:
        private_key = load_key(path.with_suffix(".key"), passphrase)
    elif token is None:
        raise ConfigurationError(f"The key of {path} is in a token: set gateway.pkcs11_module to reach it.")
    elif isinstance(public_key, ec.EllipticCurvePublicKey):
        private_key = token.private_key(key_id, public_key)
    else:
        private_key = None
    if not isinstance(private_key, ec.EllipticCurvePrivateKey) or private_key.public_key() != public_key:
        raise ConfigurationError(f"{path} is not the certificate of the key beside it. Bring it back from a backup.")
    return status_key_of(content, private_key, is_in_token=key_id is not None)


def status_key_of(content: bytes, private_key: ec.EllipticCurvePrivateKey, *, is_in_token: bool = False) -> StatusKey:
    """The key as its certificate (DER) describes it; whether the two belong together is for the caller to know."""
    certificate = x509.load_der_x509_certificate(content)
    bits = private_key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return StatusKey(
        certificate=content,
        name=certificate.subject.public_bytes(),
        key_sha1=hashlib.sha1(bits, usedforsecurity=False).digest(),
        key_identifier=_identifier(certificate),
        begins=int(certificate.not_valid_before_utc.timestamp()),
        ends=int(certificate.not_valid_after_utc.timestamp()),
        is_in_token=is_in_token,
        private_key=private_key,
    )


def _create_in(token: KeyToken) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    key_id, public_key = token.create(KeyKind.ES256)
    key = token.private_key(key_id, public_key)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TokenError("The token made another kind of key than it was asked for: use another token.")
    return key_id, key


def _store_key_id(path: Path, key_id: bytes) -> None:
    try:
        path.write_text(key_id.hex() + "\n", encoding="ascii")
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}. Free space or choose another place.") from error


def _load_key_id(path: Path) -> bytes | None:
    """The CKA_ID of the key in the token; None where the key is a file."""
    try:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is no key's id in hexadecimal. Bring it back from a backup.") from error


def _identifier(certificate: x509.Certificate) -> bytes:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def _certify(key: ec.EllipticCurvePrivateKey, organisation: str, begins: int, ends: int) -> bytes:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME),
        ]
    )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(x509.random_serial_number())
        .not_valid_before(epoch + timedelta(seconds=begins))
        .not_valid_after(epoch + timedelta(seconds=ends))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
