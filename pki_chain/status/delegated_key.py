"""Keys that sign about certificates that a CA issued, each by a certificate that this CA made for it.

The key is made here and the CA, which stays off line, certifies it; the certificate is published on the ledger, which
says until when it counts. Here lies the key alone, named by what it is, so that no file has to be put in its place
when a certificate comes or is renewed. Source: RFC 6960 §4.2.2.2; RFC 5280 §6.3.3.
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

from pki_chain.errors import InputError, StorageError, TallyError
from pki_chain.ports import DelegationKind
from pki_chain.status.status_key import StatusKey, status_key_of
from pki_chain.x509.self_signed import create_key, load_key, store_key


class NotDelegatedError(TallyError):
    """No CA lets this gateway's keys sign what is asked for: OCSP's `unauthorized`."""

    code = "not-delegated"
    http_status = 404
    exit_code = 78


class DelegatedKeys:
    """The keys in a directory. Safe for threads."""

    def __init__(self, directory: Path, load_passphrase: Callable[[], bytes]) -> None:
        self._directory = directory
        self._load_passphrase = load_passphrase
        self._lock = threading.Lock()
        self._keys: dict[bytes, StatusKey] = {}

    def create(self, kind: DelegationKind, authority: bytes) -> bytes:
        """Make a key, and the request (PKCS#10 in DER) by which this CA (its certificate in DER) may certify it.

        The request names the extensions that the ledger asks for, and, to sign CRLs, the CA's own name.
        Raises `InputError`, `StorageError`, `ConfigurationError`.
        """
        key = create_key()
        request = _request(key, kind, authority)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot make {self._directory}: {error.strerror}. Choose another place.") from error
        store_key(self._place(_spki_sha256(key.public_key())), key, self._load_passphrase())
        return request

    def signer(self, certificates: Iterable[tuple[bytes, bytes]]) -> StatusKey | None:
        """The key of the first of these whose key is here; None where it is none's.

        Each is SHA-256 of its SubjectPublicKeyInfo, and its DER. Raises `InputError` for a key that cannot be read.
        """
        for spki_sha256, der in certificates:
            with self._lock:
                found = self._keys.get(der)
                if found is None and self._place(spki_sha256).exists():
                    private_key = load_key(self._place(spki_sha256), self._load_passphrase())
                    found = self._keys[der] = status_key_of(der, private_key)
            if found is not None:
                return found
        return None

    def _place(self, spki_sha256: bytes) -> Path:
        return self._directory / f"{spki_sha256.hex()}.key"


def _spki_sha256(key: ec.EllipticCurvePublicKey) -> bytes:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def _request(key: ec.EllipticCurvePrivateKey, kind: DelegationKind, authority: bytes) -> bytes:
    try:
        name = x509.load_der_x509_certificate(authority).subject
    except ValueError as error:
        raise InputError("That is no certificate of a CA in DER or PEM. Give the CA's own certificate.") from error
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
