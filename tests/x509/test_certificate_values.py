"""What a parsed certificate says, and that reading never fails in any other way than a refusal."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from cryptography import x509
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.errors import InputError
from pki_chain.x509 import verify
from pki_chain.x509.certificate import parse_certificate
from pki_chain.x509.errors import CertificateRefusedError
from pki_chain.x509.profile import BUILT_IN_PROFILES, SMALL_CELL, Profile
from pki_chain.x509.reasons import Reason
from pki_chain.x509.verify import check_certificate
from tests.certificates import (
    ANY_PURPOSE,
    CN,
    NAME,
    ORG,
    ORGANISATION,
    Draft,
    access,
    alternative_names,
    attribute,
    authority_key,
    distribution_points,
    dns,
    ip,
    key_purposes,
    key_usage,
    rules,
    sequence,
    spki,
    subject_key,
    uri,
    utf8,
)

ROOT = Path(__file__).resolve().parents[2]


def test_fields() -> None:
    draft = Draft(
        subject=sequence(attribute(ORG, utf8(ORGANISATION)), attribute(CN, utf8(NAME))),
        extensions=(
            subject_key(b"\1\2"),
            authority_key(b"\3"),
            key_usage(bytes.fromhex("0303078080")),
            key_purposes(ANY_PURPOSE, "1.2.3"),
            distribution_points("http://a/", "http://b/"),
            access("http://c/"),
            alternative_names(dns(NAME), uri("urn:acme:1"), ip(bytes([192, 0, 2, 1])), ip(bytes(15) + b"\1")),
        ),
    )
    der = draft.encode()
    certificate = parse_certificate(der)
    library = x509.load_der_x509_certificate(der)
    assert certificate.tbs == library.tbs_certificate_bytes == draft.signed_part()
    assert certificate.spki == spki(draft.key)
    assert certificate.sha256 == hashlib.sha256(der).digest()
    hashes = hashlib.sha256(certificate.spki).digest(), hashlib.sha256(certificate.tbs).digest()
    assert (certificate.spki_hash, certificate.tbs_hash) == hashes
    assert certificate.certificate_id == keccak(b"".join(hashes))
    assert certificate.serial_number == library.serial_number
    assert certificate.not_before == library.not_valid_before_utc.timestamp()
    assert certificate.not_after == library.not_valid_after_utc.timestamp()
    assert (certificate.organisation, certificate.serial, certificate.common_name) == (ORGANISATION, None, NAME)
    assert [name.text for name in certificate.names] == [NAME, "urn:acme:1", "192.0.2.1", "::1"]
    assert certificate.public_key.encoded_point() == certificate.spki[-65:]  # type: ignore[union-attr]
    extensions = certificate.extensions
    assert extensions.key_usage == 1 << 0 | 1 << 8
    assert (extensions.subject_key_identifier, extensions.authority_key_identifier) == (b"\1\2", b"\3")
    assert extensions.key_purposes == (bytes.fromhex("551d2500"), bytes.fromhex("2a03"))
    assert extensions.crl_distribution_points == (b"http://a/", b"http://b/")
    assert extensions.authority_info_access == ((bytes.fromhex("2b06010505073001"), b"http://c/"),)


def test_a_twin_signature_has_the_same_identity() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    draft = Draft()
    certificate = check_certificate(draft.encode(), rules())
    signature = certificate.ecdsa_signature
    assert signature is not None
    s = order - signature.s
    twin_signature = sequence(*(_integer(number) for number in (signature.r, s)))
    twin = check_certificate(draft.replace(signature=twin_signature).encode(), rules())
    assert twin.certificate_id == certificate.certificate_id
    assert twin.sha256 != certificate.sha256
    wrong = sequence(*(_integer(number) for number in (signature.r, s - 1)))
    with pytest.raises(CertificateRefusedError):
        check_certificate(draft.replace(signature=wrong).encode(), rules())


def _integer(number: int) -> bytes:
    octets = number.to_bytes(number.bit_length() // 8 + 1)
    return bytes([2, len(octets)]) + octets


@given(st.binary(max_size=2_100))
def test_any_bytes_are_refused_and_nothing_else(der: bytes) -> None:
    with pytest.raises(CertificateRefusedError):
        check_certificate(der, rules())


@given(st.data())
def test_any_change_of_a_certificate_is_refused(data: st.DataObject) -> None:
    good = Draft().encode()
    position = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CertificateRefusedError):
        check_certificate(bytes(changed), rules())
    with pytest.raises(CertificateRefusedError):
        check_certificate(good[:position], rules())


def test_what_the_library_cannot_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Draft().encode()
    check_certificate(good, rules())

    def refuse(_: bytes) -> x509.Certificate:
        raise ValueError("no")

    monkeypatch.setattr(verify.x509, "load_der_x509_certificate", refuse)
    with pytest.raises(CertificateRefusedError) as refused:
        check_certificate(good, rules())
    assert refused.value.reason is Reason.MALFORMED_DER


def test_what_the_library_reads_differently_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = x509.load_der_x509_certificate(Draft().with_extensions(key_purposes(ANY_PURPOSE)).encode())
    monkeypatch.setattr(verify.x509, "load_der_x509_certificate", lambda _: other)
    with pytest.raises(CertificateRefusedError) as refused:
        check_certificate(Draft().encode(), rules())
    assert refused.value.reason is Reason.MALFORMED_DER


def test_reasons_are_those_of_the_contract() -> None:
    text = (ROOT / "contracts" / "x509" / "Reasons.sol").read_text()
    numbers = {name: int(number) for name, number in re.findall(r"constant (\w+) = (\d+);", text)}
    assert {reason.name: reason.value for reason in Reason} == {
        name: number for name, number in numbers.items() if name not in {"NONE", "FIRST_TRANSIENT"}
    }
    assert {reason for reason in Reason if reason.transient} == {
        reason for reason in Reason if reason >= numbers["FIRST_TRANSIENT"]
    }


def test_every_reason_says_what_to_do() -> None:
    for reason in Reason:
        assert reason.label == reason.name.lower()
        assert reason.text
        assert reason.remedy
        assert not reason.text.endswith(".")
    error = CertificateRefusedError(Reason.BAD_SERIAL, "for the log")
    assert Reason.BAD_SERIAL.remedy in error.message
    assert "for the log" not in error.message


def test_bits_are_those_of_the_contract() -> None:
    text = (ROOT / "contracts" / "x509" / "ProfileBits.sol").read_text()
    numbers = dict(re.findall(r"constant (\w+) = (\w+);", text))
    prefixes = {
        "key_algorithms": "KEY_",
        "signature_algorithms": "SIGNATURE_",
        "san_types": "SAN_",
        "eku_allowed": "EKU_",
        "required_extensions": "EXT_",
    }
    for field, prefix in prefixes.items():
        flags = type(getattr(SMALL_CELL, field))
        found = {
            name.removeprefix(prefix): int(number, 0) for name, number in numbers.items() if name.startswith(prefix)
        }
        assert {flag.name: flag.value for flag in flags} == found


@pytest.mark.parametrize("profile", BUILT_IN_PROFILES, ids=lambda profile: profile.name)
def test_profiles_survive_the_ledger(profile: Profile) -> None:
    content = json.loads(json.dumps(profile.content()))
    assert Profile.from_content(content, profile_id=profile.profile_id) == profile
    for wrong in (
        {**content, "k": "2"},
        {**content, "active": 1},
        {**content, "k": True},
        {**content, "more": 1},
        {name: value for name, value in content.items() if name != "k"},
    ):
        with pytest.raises(InputError):
            Profile.from_content(wrong)


def test_profile_fields_are_those_of_the_contract() -> None:
    text = (ROOT / "contracts" / "interfaces" / "IConsortium.sol").read_text()
    struct = re.search(r"struct Profile \{(.*?)\}", text, re.DOTALL)
    assert struct is not None
    assert list(SMALL_CELL.content()) == re.findall(r"\b(\w+);", struct[1])


def test_certificates_are_values() -> None:
    certificate = parse_certificate(Draft().encode())
    with pytest.raises(dataclasses.FrozenInstanceError):
        certificate.serial_number = 1  # type: ignore[misc]
    assert certificate == parse_certificate(certificate.der)
