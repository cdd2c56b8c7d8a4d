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

from pki_chain.errors import TallyError
from pki_chain.status.stored_key import StoredKey, create_stored_key, load_stored_key
from pki_chain.x509.self_signed import store_certificate
from tally_service.key_token import KeyToken, TokenError

log = logging.getLogger(__name__)

LIFETIME_S: Final = 365 * 86_400
RENEW_BEFORE_S: Final = 60 * 86_400
LEAD_S: Final = 14 * 86_400
"""A new key is published for this long before it signs."""

COMMON_NAME: Final = "certificate status"
_LOOK_EVERY_S: Final = 1.0
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
        try:
            key = create_stored_key(self._token)
            certificate = _certify(key.private_key, organisation, begins, begins + lifetime_s)
        except TokenError as error:
            raise NoStatusKeyError(error.message) from error
        stem = f"{begins}-{hashlib.sha256(certificate).hexdigest()[:16]}"
        key.store(self._directory / stem, self._load_passphrase)
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
    public_key = x509.load_der_x509_certificate(content).public_key()
    return status_key_of(content, load_stored_key(path.with_suffix(""), public_key, lambda: passphrase, token))


def status_key_of(content: bytes, key: StoredKey) -> StatusKey:
    """The key as its certificate (DER) describes it; whether the two belong together is for the caller to know."""
    certificate = x509.load_der_x509_certificate(content)
    bits = key.private_key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return StatusKey(
        certificate=content,
        name=certificate.subject.public_bytes(),
        key_sha1=hashlib.sha1(bits, usedforsecurity=False).digest(),
        key_identifier=_identifier(certificate),
        begins=int(certificate.not_valid_before_utc.timestamp()),
        ends=int(certificate.not_valid_after_utc.timestamp()),
        is_in_token=key.is_in_token,
        private_key=key.private_key,
    )


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
