"""Keys that sign about certificates that a CA issued, each by a certificate that this CA made for it.

The key is made here and the CA, which stays off line, certifies it; the certificate is published on the ledger, which
says until when it counts. Here lies the key alone, a file or the name of one in a PKCS#11 token, called by what it is,
so that nothing has to be put in its place when a certificate comes or is renewed. Source: RFC 6960 §4.2.2.2; RFC 5280
§6.3.3.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki_chain.errors import InputError, TallyError
from pki_chain.ports import DelegationKind
from pki_chain.status.status_key import NoStatusKeyError, StatusKey, status_key_of
from pki_chain.status.stored_key import check_stored_keys, create_stored_key, has_stored_key, load_stored_key
from tally_service.key_token import KeyToken, TokenError


class NotDelegatedError(TallyError):
    """No CA lets this gateway's keys sign what is asked for: OCSP's `unauthorized`."""

    code = "not-delegated"
    http_status = 404
    exit_code = 78


class DelegatedKeys:
    """The keys in a directory. Safe for threads."""

    def __init__(self, directory: Path, load_passphrase: Callable[[], bytes], token: KeyToken | None = None) -> None:
        """With a token new keys are made in it; those of files go on."""
        self._directory = directory
        self._load_passphrase = load_passphrase
        self._token = token
        self._lock = threading.Lock()
        self._keys: dict[bytes, StatusKey] = {}

    def create(self, kind: DelegationKind, authority: bytes) -> bytes:
        """Make a key, and the request (PKCS#10 in DER) by which this CA (its certificate in DER) may certify it.

        The request names the extensions that the ledger asks for, and, to sign CRLs, the CA's own name.
        Raises `InputError`, `StorageError`, `ConfigurationError`, and `NoStatusKeyError` where the token makes none.
        """
        name = _load_name(authority)
        try:
            key = create_stored_key(self._token)
            request = _request(key.private_key, kind, name)
        except TokenError as error:
            raise NoStatusKeyError(error.message) from error
        key.store(self._stem(_spki_sha256(key.private_key.public_key())), self._load_passphrase)
        return request

    def signer(self, certificates: Iterable[tuple[bytes, bytes]]) -> StatusKey | None:
        """The key of the first of these whose key is here; None where it is none's.

        Each is SHA-256 of its SubjectPublicKeyInfo, and its DER. Raises `InputError`, `ConfigurationError` for a key
        that cannot be read.
        """
        for spki_sha256, der in certificates:
            with self._lock:
                found = self._keys.get(der)
                if found is None and has_stored_key(self._stem(spki_sha256)):
                    found = self._load(self._stem(spki_sha256), der)
            if found is not None:
                return found
        return None

    def check(self) -> None:
        """Sign once with the newest key, if it is in a token. Raises `ConfigurationError`, and `NoStatusKeyError` that
        says what is wrong with the token."""
        try:
            check_stored_keys(self._directory, self._token)
        except TokenError as error:
            raise NoStatusKeyError(error.message) from error

    def _load(self, stem: Path, der: bytes) -> StatusKey | None:
        """None for a certificate that is good to the ledger and not to the library that answers are made with: any CA
        may put one on the ledger for a key that it saw there."""
        try:
            public_key = x509.load_der_x509_certificate(der).public_key()
            key = status_key_of(der, load_stored_key(stem, public_key, self._load_passphrase, self._token))
        except (ValueError, x509.ExtensionNotFound):
            return None
        self._keys[der] = key
        return key

    def _stem(self, spki_sha256: bytes) -> Path:
        return self._directory / spki_sha256.hex()


def _spki_sha256(key: ec.EllipticCurvePublicKey) -> bytes:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def _load_name(authority: bytes) -> x509.Name:
    try:
        return x509.load_der_x509_certificate(authority).subject
    except ValueError as error:
        raise InputError("That is no certificate of a CA in DER or PEM. Give the CA's own certificate.") from error


def _request(key: ec.EllipticCurvePrivateKey, kind: DelegationKind, name: x509.Name) -> bytes:
    is_ocsp = kind is DelegationKind.OCSP_SIGNING
    if is_ocsp:  # another name than the CA's, or it would look like one of its own
        name = x509.Name([*name, x509.NameAttribute(x509.NameOID.COMMON_NAME, "OCSP")])
    usage = x509.KeyUsage(
        digital_signature=is_ocsp,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=not is_ocsp,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if is_ocsp:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
        builder = builder.add_extension(purpose, critical=False).add_extension(x509.OCSPNoCheck(), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
