"""A device's own key and certificate.

The key is made here and leaves only into a file that nobody else can read. Source: RFC 5280 §4.1; TS 33.310 and
RFC 4945 for small cells, but for the issuer; docs/decisions/0004-certificate-rules.md.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki_chain.errors import InputError, StorageError
from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import ExtensionKind, KeyPurpose, Profile, SanType
from pki_chain.x509.validity import ENDLESS

_PURPOSES = {
    KeyPurpose.SERVER_AUTH: ExtendedKeyUsageOID.SERVER_AUTH,
    KeyPurpose.CLIENT_AUTH: ExtendedKeyUsageOID.CLIENT_AUTH,
    KeyPurpose.IPSEC_IKE: ExtendedKeyUsageOID.IPSEC_IKE,
    KeyPurpose.ANY: ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_SHA256 = hashes.SHA256()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400


def create_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def create_serial_number() -> int:
    """16 octets with 126 random bits, so that every certificate has the same length. Source: RFC 5280 §4.1.2.2."""
    return secrets.randbits(127) | 1 << 126


def issue(
    key: ec.EllipticCurvePrivateKey,
    *,
    profile: Profile,
    organisation: str,
    names: Sequence[SubjectAltName],
    not_before: int,
    lifetime_days: int | None,
    serial_number: str | None = None,
    common_name: str | None = None,
) -> bytes:
    """A self-signed certificate in DER.

    `serial_number` is the device's (attribute of the subject, IEEE 802.1AR); the certificate's own is random.
    `not_before` is in seconds since 1970; without `lifetime_days` the certificate is endless (99991231235959Z).
    It is not checked against a lot: `check_certificate` does that. Raises InputError when a value cannot be encoded.
    """
    try:
        subject = _subject(organisation, serial_number, common_name)
        not_after = ENDLESS if lifetime_days is None else not_before + lifetime_days * _DAY_S
        return _build(key, subject, (not_before, not_after), _purposes(profile), names)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"certificate for {organisation!r}: {error}; correct the value") from error


def _build(
    key: ec.EllipticCurvePrivateKey,
    subject: x509.Name,
    validity: tuple[int, int],
    purposes: x509.ExtendedKeyUsage | None,
    names: Sequence[SubjectAltName],
) -> bytes:
    public_key = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    begin, end = (_EPOCH + timedelta(seconds=time) for time in validity)
    builder = (
        x509.CertificateBuilder()
        .serial_number(create_serial_number())
        .issuer_name(subject)
        .subject_name(subject)
        .not_valid_before(begin)
        .not_valid_after(end)
        .public_key(public_key)
        .add_extension(identifier, critical=False)
        .add_extension(authority, critical=False)
        .add_extension(_KEY_USAGE, critical=True)
    )
    if purposes is not None:
        builder = builder.add_extension(purposes, critical=False)
    if names:
        alternative = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(key, _SHA256).public_bytes(serialization.Encoding.DER)


@cache
def _purposes(profile: Profile) -> x509.ExtendedKeyUsage | None:
    """What the profile demands; everything that it allows where it demands the extension but no purpose; else none."""
    wanted = profile.eku_required
    if not wanted and (
        not profile.eku_may_be_absent or ExtensionKind.EXTENDED_KEY_USAGE in profile.required_extensions
    ):
        wanted = profile.eku_allowed
    return x509.ExtendedKeyUsage([oid for bit, oid in _PURPOSES.items() if bit in wanted]) if wanted else None


def _subject(organisation: str, serial_number: str | None, common_name: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    if serial_number is not None:
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number))
    if common_name is not None:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(attributes)


def _general_name(name: SubjectAltName) -> x509.GeneralName:
    if name.kind is SanType.DNS:
        return x509.DNSName(name.value.decode("ascii"))
    if name.kind is SanType.URI:
        return x509.UniformResourceIdentifier(name.value.decode("ascii"))
    return x509.IPAddress(ipaddress.ip_address(name.value))


def store_key(path: Path, key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> None:
    """Write PKCS#8 PEM that only the owner can read (mode 0600). Raises StorageError; never overwrites."""
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        protection = serialization.BestAvailableEncryption(passphrase)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    _write_new(path, pem, 0o600)


def load_key(path: Path, passphrase: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """Read what `store_key` wrote. Raises InputError when it is not a P-256 key or the passphrase is wrong."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"key {path}: cannot be read; check the file and its passphrase", detail=str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(f"key {path}: not a P-256 key; make one with create_key")
    return key


def store_certificate(path: Path, der: bytes) -> None:
    """Write a certificate in DER. Raises StorageError; never overwrites."""
    _write_new(path, der, 0o644)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        except OSError:
            path.unlink()  # a half would stand in the way of the next try, which writes over nothing
            raise
    except FileExistsError as error:
        raise StorageError(f"{path} exists already; nothing was written: choose another name") from error
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another place"
        ) from error
