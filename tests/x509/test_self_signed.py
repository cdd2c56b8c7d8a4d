"""Own keys and certificates: what is issued passes the check; keys are private and never overwritten. R-DEV-1."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.errors import InputError, StorageError
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.extensions import key_purposes
from pki_chain.x509.names import SubjectAltName
from pki_chain.x509.profile import (
    BUILT_IN_PROFILES,
    IOT_DEVICE,
    SMALL_CELL,
    TLS_DEVICE,
    ExtensionKind,
    KeyPurpose,
    Profile,
    SanType,
)
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules
from pki_chain.x509.self_signed import create_key, create_serial_number, issue, load_key, store_certificate, store_key
from pki_chain.x509.verify import check_certificate
from tests.certificates import ALL_RANGES, BLOCK_TIME, ORGANISATION, REALM

KEY = create_key()
NAMES = (SubjectAltName(SanType.DNS, b"a." + REALM.encode()),)


def check(der: bytes, profile: Profile, organisation: str = ORGANISATION) -> object:
    return check_certificate(der, CertificateRules(profile, organisation, ALL_RANGES, BLOCK_TIME))


@pytest.mark.parametrize(
    "profile", [each for each in BUILT_IN_PROFILES if not each.ca_issued], ids=lambda profile: profile.name
)
def test_issued_certificate_is_accepted(profile: Profile) -> None:
    der = issue(
        KEY,
        profile=profile,
        organisation=ORGANISATION,
        names=NAMES,
        not_before=BLOCK_TIME,
        lifetime_days=profile.longest_life_days,
        serial_number="SN-1",
        common_name="a." + REALM,
    )
    certificate = check_certificate(der, CertificateRules(profile, ORGANISATION, ALL_RANGES, BLOCK_TIME))
    assert (certificate.serial, certificate.common_name, certificate.names) == ("SN-1", "a." + REALM, NAMES)
    assert certificate.extensions.subject_key_identifier == certificate.extensions.authority_key_identifier
    assert profile.required_extensions in certificate.extensions.present
    with pytest.raises(CertificateRefusedError) as refused:
        check(der, profile, "Somebody else")
    assert refused.value.reason is Reason.SUBJECT_NOT_OWNER


def test_one_day_too_long_is_refused() -> None:
    days = SMALL_CELL.longest_life_days + 1
    der = issue(
        KEY, profile=SMALL_CELL, organisation=ORGANISATION, names=NAMES, not_before=BLOCK_TIME, lifetime_days=days
    )
    with pytest.raises(CertificateRefusedError) as refused:
        check(der, SMALL_CELL)
    assert refused.value.reason is Reason.LIFETIME_TOO_LONG


def test_endless_only_where_the_profile_allows_it() -> None:
    der = issue(
        KEY, profile=IOT_DEVICE, organisation=ORGANISATION, names=NAMES, not_before=BLOCK_TIME, lifetime_days=None
    )
    assert check_certificate(der, CertificateRules(IOT_DEVICE, ORGANISATION, ALL_RANGES, BLOCK_TIME)).endless
    with pytest.raises(CertificateRefusedError):
        check(der, SMALL_CELL)


def test_purposes_follow_the_profile() -> None:
    def purposes(profile: Profile) -> KeyPurpose:
        der = issue(
            KEY, profile=profile, organisation=ORGANISATION, names=NAMES, not_before=BLOCK_TIME, lifetime_days=1
        )
        return key_purposes(
            check_certificate(der, CertificateRules(profile, ORGANISATION, ALL_RANGES, BLOCK_TIME)).extensions
        )

    assert purposes(TLS_DEVICE) == KeyPurpose.SERVER_AUTH | KeyPurpose.CLIENT_AUTH
    assert not purposes(SMALL_CELL)


def test_neither_cdp_nor_aia_by_default() -> None:
    der = issue(KEY, profile=SMALL_CELL, organisation=ORGANISATION, names=NAMES, not_before=BLOCK_TIME, lifetime_days=1)
    present = check_certificate(
        der, CertificateRules(SMALL_CELL, ORGANISATION, ALL_RANGES, BLOCK_TIME)
    ).extensions.present
    assert not present & (ExtensionKind.CRL_DISTRIBUTION_POINTS | ExtensionKind.AUTHORITY_INFO_ACCESS)


@given(st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=["Cs"]), min_size=1))
def test_any_organisation_is_issued_and_accepted_or_refused(organisation: str) -> None:
    def make() -> bytes:
        return issue(
            KEY, profile=SMALL_CELL, organisation=organisation, names=NAMES, not_before=BLOCK_TIME, lifetime_days=1
        )

    if len(organisation.encode()) <= 64:
        check(make(), SMALL_CELL, organisation)
        return
    with pytest.raises((InputError, CertificateRefusedError)):
        check(make(), SMALL_CELL, organisation)


def test_values_that_cannot_be_encoded_are_named() -> None:
    umlaut = (SubjectAltName(SanType.DNS, "ä.example".encode()),)
    with pytest.raises(InputError, match="correct the value"):
        issue(KEY, profile=SMALL_CELL, organisation=ORGANISATION, names=umlaut, not_before=0, lifetime_days=1)
    with pytest.raises(InputError, match="correct the value"):
        issue(KEY, profile=SMALL_CELL, organisation=ORGANISATION, names=NAMES, not_before=1 << 60, lifetime_days=1)


def test_serial_numbers_are_positive_and_of_16_octets() -> None:
    serials = {create_serial_number() for _ in range(100)}
    assert len(serials) == 100
    assert {serial.bit_length() for serial in serials} == {127}


@pytest.mark.parametrize("passphrase", [None, b"a passphrase"])
def test_key_is_stored_for_its_owner_only(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "device.key.pem"
    store_key(path, KEY, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    heading = b"BEGIN ENCRYPTED PRIVATE KEY" if passphrase else b"BEGIN PRIVATE KEY"
    assert heading in path.read_bytes()
    assert load_key(path, passphrase).private_numbers() == KEY.private_numbers()
    with pytest.raises(InputError, match="passphrase"):
        load_key(path, b"another" if passphrase else b"one too many")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    key, certificate = tmp_path / "device.key.pem", tmp_path / "device.der"
    store_key(key, KEY)
    store_certificate(certificate, b"der")
    before = key.read_bytes()
    with pytest.raises(StorageError, match="exists already"):
        store_key(key, create_key())
    with pytest.raises(StorageError, match="exists already"):
        store_certificate(certificate, b"other")
    assert (key.read_bytes(), certificate.read_bytes()) == (before, b"der")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere", tmp_path / "device.key.pem"
    link.symlink_to(target)
    with pytest.raises(StorageError, match="exists already"):
        store_key(link, KEY)
    assert not target.exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        store_key(tmp_path / "none" / "device.key.pem", KEY)


def test_key_of_another_curve_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p384.pem"
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem)
    with pytest.raises(InputError, match="P-256"):
        load_key(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_key(tmp_path / "missing.pem")


def test_every_kind_of_name_is_issued() -> None:
    names = (
        *NAMES,
        SubjectAltName(SanType.URI, b"urn:acme:1"),
        SubjectAltName(SanType.IP, bytes([192, 0, 2, 1])),
        SubjectAltName(SanType.IP, bytes.fromhex("20010db8ffff0000000000000000abcd")),
    )
    der = issue(KEY, profile=IOT_DEVICE, organisation=ORGANISATION, names=names, not_before=BLOCK_TIME, lifetime_days=1)
    rules = CertificateRules(IOT_DEVICE, ORGANISATION, ALL_RANGES, BLOCK_TIME)
    assert check_certificate(der, rules).names == names
    with pytest.raises(CertificateRefusedError) as refused:
        check(der, SMALL_CELL)
    assert refused.value.reason is Reason.BAD_SAN


def test_without_names_the_profile_refuses() -> None:
    der = issue(KEY, profile=SMALL_CELL, organisation=ORGANISATION, names=(), not_before=BLOCK_TIME, lifetime_days=1)
    with pytest.raises(CertificateRefusedError) as refused:
        check(der, SMALL_CELL)
    assert refused.value.reason is Reason.MISSING_EXTENSION
