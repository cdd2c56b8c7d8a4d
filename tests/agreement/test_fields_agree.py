"""Fields with many corners, filled from what matters to them: names against ranges, times, subjects, numbers."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki_chain.ports import NameRange, RangeKind
from pki_chain.x509.profile import IOT_DEVICE, SMALL_CELL, ExtensionKind, KeyPurpose, SanType
from tests.agreement.agreement import differences
from tests.agreement.parser_contract import ParserContract
from tests.certificates import (
    BLOCK_TIME,
    CN,
    ORG,
    ORGANISATION,
    SERIAL_NUMBER,
    Draft,
    attribute,
    dns,
    extension,
    integer,
    ip,
    key_usage,
    rules,
    sequence,
    sign,
    time,
    tlv,
    uri,
    utf8,
)
from tests.certificates import alternative_names as san

OPEN = dataclasses.replace(
    IOT_DEVICE, required_extensions=ExtensionKind(0), eku_allowed=KeyPurpose(0x800F), longest_life_days=100_000
)
agreeing = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

LABELS = ["a", "b-c", "xn--a", "xn--", "xn-", "Xn--a", "00a1b2c3d4e5", "00a1b2c3d4e5f607", "00A1b2c3d4e5", "-a", "a-"]
LABELS += ["", "*", "a" * 63, "a" * 64, "a_b", "9", "é", " "]
SUFFIXES = [b"cells.example", b"cells.example", b"example", b"xn--p1ai.example", b"00a1b2c3d4e5.cells.example"]
DNS_NAMES = st.builds(
    lambda labels, suffix: ".".join([*labels, suffix]),
    st.lists(st.sampled_from(LABELS), max_size=3),
    st.sampled_from([suffix.decode() for suffix in SUFFIXES] + ["a." * 120 + "example"]),
).map(dns)
GOOD_NAMES = st.builds(
    lambda labels, suffix: dns(".".join([*labels, suffix])),
    st.lists(st.sampled_from(["a", "b-c", "00a1b2c3d4e5", "00a1b2c3d4e5f607", "a.xn--p1ai"]), max_size=1),
    st.sampled_from([suffix.decode() for suffix in SUFFIXES]),
)
URNS = st.text("urn:acme.-_AZ09/%é", max_size=12).map(lambda tail: uri("urn:" + tail))
ADDRESSES = st.sampled_from([4, 16, 4, 16, 0, 5]).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(ip)
OTHERS = st.builds(tlv, st.sampled_from([0x81, 0x88, 0x82, 0x86, 0x87, 0xA0, 0x42]), st.binary(max_size=6))
NAMES = st.one_of(GOOD_NAMES, GOOD_NAMES, GOOD_NAMES, DNS_NAMES, DNS_NAMES, URNS, ADDRESSES)
LISTS = st.one_of(*[st.lists(NAMES, min_size=1, max_size=1)] * 8, st.lists(st.one_of(NAMES, OTHERS), max_size=10))
RANGES = st.one_of(
    st.builds(NameRange, st.just(RangeKind.DNS), st.just(0), st.just(0), st.just(0), st.sampled_from(SUFFIXES)),
    st.builds(
        NameRange,
        st.just(RangeKind.EUI),
        st.sampled_from([48, 64, 48, 64, 0, 56]),
        st.sampled_from([0, 0x00A1B2C3D4E5, 0x00A1B2C3D4E6, 0x00A1B2C3D4E5F607]),
        st.sampled_from([0, 0x00A1B2C3D4E4, 0x00A1B2C3D4E5, 0x00A1B2C3D4E5F607, (1 << 64) - 1]),
        st.sampled_from(SUFFIXES),
    ),
    st.builds(
        NameRange,
        st.just(RangeKind.URN),
        st.just(0),
        st.just(0),
        st.just(0),
        st.sampled_from([b"urn:", b"urn:a", b"urn:acme:", b"u" * 40]),
    ),
    st.integers(0, 4).flatmap(
        lambda size: st.builds(
            NameRange,
            st.just(RangeKind.IP),
            st.integers(0, 130),
            st.just(0),
            st.just(0),
            st.binary(min_size=4 * size, max_size=4 * size),
        )
    ),
)


@pytest.mark.chain
@agreeing
@given(
    st.lists(LISTS, min_size=60, max_size=100),
    st.lists(RANGES, min_size=2, max_size=8),
    st.sampled_from([*[(7, 8)] * 10, (1, 8), (2, 8), (4, 8), (0, 8), (7, 0), (7, 1), (7, 255)]),
)
def test_names(
    contract: ParserContract, lists: list[list[bytes]], ranges: list[NameRange], allowed: tuple[int, int]
) -> None:
    profile = dataclasses.replace(OPEN, san_types=SanType(allowed[0]), san_maximum=allowed[1])
    ders = [Draft(extensions=(key_usage(), san(*names))).encode() for names in lists]
    found = differences(contract, ders, rules(profile, tuple(ranges)))
    assert not found, "\n".join(found)


STAMPS = st.builds(
    lambda parts, end: "".join(parts) + end,
    st.tuples(
        st.sampled_from(["20", "19", "21", "00", "99", ""]),
        st.sampled_from(["00", "26", "28", "49", "50", "69", "70", "99"]),
        st.sampled_from(["00", "01", "02", "04", "06", "12", "13", "1a"]),
        st.sampled_from(["00", "01", "28", "29", "30", "31", "32", "-1"]),
        st.sampled_from(["00", "23", "24"]),
        st.sampled_from(["00", "59", "60", "3 "]),
        st.sampled_from(["00", "59", "60", ""]),
    ),
    st.sampled_from(["Z", "Z", "Z", "z", "", "+0000", ".0Z"]),
)
TIMES = st.one_of(
    st.builds(lambda tag, stamp: tlv(tag, stamp.encode()), st.sampled_from([0x17, 0x18]), STAMPS),
    st.integers(0, 253_402_300_799).map(time),
    st.integers(BLOCK_TIME - 400, BLOCK_TIME + 400).map(time),
)


@pytest.mark.chain
@agreeing
@given(st.lists(st.tuples(TIMES, TIMES), min_size=50, max_size=100), st.booleans(), st.sampled_from([0, 10, 40_000]))
def test_times(contract: ParserContract, pairs: list[tuple[bytes, bytes]], endless: bool, days: int) -> None:
    profile = dataclasses.replace(SMALL_CELL, endless_allowed=endless, longest_life_days=days)
    found = differences(contract, [Draft(validity=sequence(*pair)).encode() for pair in pairs], rules(profile))
    assert not found, "\n".join(found)


@pytest.mark.chain
@agreeing
@given(st.lists(st.integers(0, 253_402_300_799), min_size=100, max_size=150))
def test_every_moment_is_read_alike(contract: ParserContract, moments: list[int]) -> None:
    """From 1970 to 9999, by the not_after that both give back."""
    profile = dataclasses.replace(SMALL_CELL, longest_life_days=(1 << 32) - 1)
    ders = [Draft(validity=sequence(time(0), time(moment))).encode() for moment in moments]
    found = differences(contract, ders, rules(profile, block_time=0))
    assert not found, "\n".join(found)


LEADS = st.sampled_from(
    [0x00, 0x1F, 0x20, 0x41, 0x7E, 0x7F, 0xC1, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF]
)
TRAILS = st.sampled_from([0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0])
BROKEN = st.lists(st.one_of(LEADS, TRAILS, TRAILS), min_size=1, max_size=70).map(bytes)
TEXTS = st.one_of(
    st.text(max_size=64).map(str.encode),
    st.text("AZaz09 '()+,-./:=?@_*&\"", max_size=66).map(str.encode),
    BROKEN,
    st.builds(lambda filling, text: b"a" * filling + text, st.integers(0, 66), BROKEN),
)
ATTRIBUTES = st.builds(
    lambda kind, tag, text: attribute(kind, tlv(tag, text)),
    st.sampled_from([ORG, SERIAL_NUMBER, SERIAL_NUMBER, CN, "2.5.4.11", "2.5.4.10.1"]),
    st.sampled_from([0x0C, 0x0C, 0x0C, 0x13, 0x13, 0x13, 0x14, 0x16, 0x1E]),
    st.one_of(TEXTS, st.text("AZaz09 '()+,-./:=?", min_size=1, max_size=64).map(str.encode)),
)


@pytest.mark.chain
@agreeing
@given(st.lists(st.lists(ATTRIBUTES, max_size=2), min_size=60, max_size=100), st.sampled_from([True, True, False]))
def test_subjects(contract: ParserContract, lists: list[list[bytes]], with_owner: bool) -> None:
    owner = [attribute(ORG, utf8(ORGANISATION))] if with_owner else []
    ders = [Draft(subject=sequence(*owner, *rdns)).encode() for rdns in lists]
    found = differences(contract, ders, rules())
    assert not found, "\n".join(found)


@pytest.mark.chain
@agreeing
@given(st.lists(BROKEN, min_size=50, max_size=100))
def test_every_text_as_the_owner(contract: ParserContract, texts: list[bytes]) -> None:
    """Only text that both take for UTF-8 reaches the comparison with the owner's name."""
    ders = [Draft(subject=sequence(attribute(ORG, tlv(0x0C, text)))).encode() for text in texts]
    found = differences(contract, ders, rules(organisation=texts[0].decode(errors="ignore")))
    assert not found, "\n".join(found)


OIDS = st.lists(st.sampled_from([0x00, 0x01, 0x0E, 0x0F, 0x2B, 0x55, 0x1D, 0x7F, 0x80, 0x81, 0xFF]), max_size=40).map(
    bytes
)


@pytest.mark.chain
@agreeing
@given(st.lists(st.lists(OIDS, min_size=1, max_size=20), min_size=30, max_size=60))
def test_object_identifiers(contract: ParserContract, lists: list[list[bytes]]) -> None:
    ders = []
    for contents in lists:
        parts = [tlv(0x06, content) for content in contents]
        ders.append(Draft().with_extensions(extension("2.5.29.37", sequence(*parts))).encode())
        ders.append(Draft().with_extensions(*(sequence(part, tlv(0x04, b"x")) for part in parts)).encode())
    found = differences(contract, ders, rules(OPEN))
    assert not found, "\n".join(found)


NUMBERS = st.one_of(
    st.integers(-3, 3).map(integer),
    st.binary(max_size=36).map(lambda octets: tlv(0x02, octets)),
    st.sampled_from([0x00, 0x01, 0x7F, 0x80, 0xFF]).flatmap(
        lambda first: st.binary(min_size=30, max_size=33).map(lambda rest: tlv(0x02, bytes([first]), rest))
    ),
)


@pytest.mark.chain
@agreeing
@given(st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=50, max_size=100))
def test_numbers_in_signatures_and_serials(contract: ParserContract, pairs: list[list[bytes]]) -> None:
    draft = Draft()
    good = sign(draft.key, draft.signed_part())
    ders = [draft.replace(signature=sequence(*pair)).encode() for pair in pairs]
    ders += [draft.replace(serial_number=number).encode() for number, _ in pairs]
    ders.append(draft.replace(signature=good).encode())
    found = differences(contract, ders, rules())
    assert not found, "\n".join(found)
