"""Every rule for certificates as cases: one defect each, beside the nearest certificate that is accepted.

Both implementations are held to this table: `tests/x509` runs it through Python, `tests/agreement` through Solidity.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pki_chain.ports import NameRange, RangeKind
from pki_chain.x509.profile import (
    IOT_DEVICE,
    SMALL_CELL,
    TLS_DEVICE,
    ExtensionKind,
    KeyAlgorithm,
    KeyPurpose,
    SanType,
    SignatureAlgorithm,
)
from pki_chain.x509.reasons import Reason
from pki_chain.x509.rules import CertificateRules
from tests.certificates import (
    AIA,
    AKI,
    ALL_RANGES,
    ANY_PURPOSE,
    BC,
    BLOCK_TIME,
    CDP,
    CLIENT_AUTH,
    CN,
    DAY_S,
    DNS_RANGE,
    EKU,
    IPSEC_IKE,
    IPV4_RANGE,
    IPV6_RANGE,
    KU,
    NAME,
    ORG,
    ORGANISATION,
    REALM,
    RSA_SHA256,
    SAN,
    SERIAL_NUMBER,
    SERVER_AUTH,
    SKI,
    URN_RANGE,
    Draft,
    access,
    alternative_names,
    attribute,
    authority_key,
    basic_constraints,
    bits,
    distribution_points,
    dns,
    extension,
    generalized_time,
    integer,
    ip,
    key,
    key_purposes,
    key_usage,
    name,
    oid,
    printable,
    rsa_key,
    rules,
    sequence,
    sign,
    spki,
    subject_key,
    time,
    tlv,
    uri,
    utc_time,
    utf8,
    validity,
)

P256_ALGORITHM = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ENDLESS = generalized_time("99991231235959Z")

RSA_PROFILE = dataclasses.replace(
    SMALL_CELL,
    key_algorithms=KeyAlgorithm.P256 | KeyAlgorithm.RSA,
    signature_algorithms=SignatureAlgorithm.ECDSA_SHA256 | SignatureAlgorithm.RSA_SHA256,
)
ANY_NAME_PROFILE = dataclasses.replace(SMALL_CELL, san_types=SanType.DNS | SanType.URI | SanType.IP)
ANY_NAME = rules(ANY_NAME_PROFILE, ALL_RANGES)
DNS_ONLY = rules(SMALL_CELL, (DNS_RANGE,))


@dataclass(frozen=True)
class Case:
    """One certificate, the rules, and the reason that both implementations must give (None: accepted)."""

    title: str
    der: bytes
    rules: CertificateRules
    reason: Reason | None


def small_cell(title: str, draft: Draft, reason: Reason | None = None, against: CertificateRules | None = None) -> Case:
    return Case(title, draft.encode(), against or rules(), reason)


def cases() -> tuple[Case, ...]:
    """All of them, with titles that differ."""
    found = (
        *size_and_encoding(),
        *head(),
        *algorithms(),
        *subjects(),
        *times(),
        *keys(),
        *extension_lists(),
        *extension_contents(),
        *profiles(),
        *names(),
        *ranges(),
        *signatures(),
    )
    assert len({case.title for case in found}) == len(found)
    return found


def padded_to(size: int) -> bytes:
    """A good certificate of exactly this many bytes: an unknown extension fills it up."""
    for filling in range(size, 0, -1):
        der = Draft(signature=ECDSA_OF_72_BYTES).with_extensions(extension("1.2.3", b"\0" * filling)).encode()
        if len(der) == size:
            return der
    raise AssertionError(size)


def size_and_encoding() -> Iterator[Case]:
    good, bad = Draft(), Reason.MALFORMED_DER
    yield small_cell("plain", good)
    yield Case("2,049 bytes", good.with_extensions(extension("1.2.3", b"\0" * 2_100)).encode(), rules(), Reason(1))
    yield Case("64 KB", good.with_extensions(extension("1.2.3", b"\0" * 65_000)).encode(), rules(), Reason(1))
    yield Case("2,048 bytes, whose signature only is wrong", padded_to(2_048), rules(), Reason.BAD_SIGNATURE)
    yield Case("one byte more than 2,048", padded_to(2_048) + b"\0", rules(), Reason.ENTRY_TOO_LARGE)
    yield Case("nothing", b"", rules(), bad)
    yield Case("one byte", b"\x30", rules(), bad)
    yield Case("empty sequence", b"\x30\x00", rules(), bad)
    yield Case("cut by one byte", good.encode()[:-1], rules(), bad)
    yield Case("one byte behind the end", good.encode() + b"\0", rules(), bad)
    yield Case("twice", good.encode() * 2, rules(), bad)
    yield Case("text instead", b"-----BEGIN CERTIFICATE-----", rules(), bad)
    body = good.encode()[4:]
    yield Case("indefinite length", b"\x30\x80" + body + b"\0\0", rules(), bad)
    yield Case("length of three octets", b"\x30\x83" + len(body).to_bytes(3) + body, rules(), bad)
    yield Case("length of four octets", b"\x30\x84" + len(body).to_bytes(4) + body, rules(), bad)
    yield Case("outer set", b"\x31" + good.encode()[1:], rules(), bad)
    signed = good.signed_part()
    yield Case("signed part as a set", good.wrap(b"\x31" + signed[1:]), rules(), bad)
    short = sequence(integer(5)).replace(b"\x30\x03", b"\x30\x81\x03")
    yield Case("non-minimal length inside", good.replace(validity=short).encode(), rules(), bad)
    yield small_cell("issuer unique identifier", good.replace(extensions=None, tail=tlv(0x81, b"\0\1")), bad)
    yield small_cell("subject unique identifier", good.replace(extensions=None, tail=tlv(0x82, b"\0\1")), bad)
    yield small_cell("something behind the extensions", good.replace(tail=b"\x05\x00"), bad)
    yield small_cell("extensions twice", good.replace(tail=tlv(0xA3, sequence(key_usage()))), bad)
    yield small_cell("empty extensions", good.replace(extensions=()), bad)
    yield small_cell("[3] empty", good.replace(extensions=None, tail=b"\xa3\x00"), bad)
    two = tlv(0xA3, sequence(key_usage()), sequence(alternative_names()))
    yield small_cell("two sequences in [3]", good.replace(extensions=None, tail=two), bad)
    yield small_cell("[3] with another tag", good.replace(extensions=None, tail=tlv(0xA4, sequence(key_usage()))), bad)
    outer = Draft().signed_part()
    signature = bits(b"\x30\x00")
    yield Case("no signature", sequence(outer, good.inner_algorithm), rules(), bad)
    yield Case(
        "something behind the signature", sequence(outer, good.inner_algorithm, signature, b"\5\0"), rules(), bad
    )
    yield Case("unused bits", sequence(outer, good.inner_algorithm, bits(b"\x30\x00", 1)), rules(), bad)
    yield Case("empty BIT STRING", sequence(outer, good.inner_algorithm, tlv(3)), rules(), bad)
    yield Case("OCTET STRING as signature", sequence(outer, good.inner_algorithm, tlv(4, b"\0\0")), rules(), bad)
    yield Case("two-octet tag", good.replace(serial_number=b"\x1f\x02\x01\x05").encode(), rules(), bad)


def head() -> Iterator[Case]:
    good, wrong, bad = Draft(), Reason.WRONG_VERSION, Reason.MALFORMED_DER
    yield small_cell("version absent", good.replace(version=b""), wrong)
    yield small_cell("version 1", good.replace(version=tlv(0xA0, integer(0))), wrong)
    yield small_cell("version 2", good.replace(version=tlv(0xA0, integer(1))), wrong)
    yield small_cell("version 4", good.replace(version=tlv(0xA0, integer(3))), wrong)
    yield small_cell("version 258", good.replace(version=tlv(0xA0, integer(258))), wrong)
    yield small_cell("version negative", good.replace(version=tlv(0xA0, integer(-1))), wrong)
    yield small_cell("version not minimal", good.replace(version=tlv(0xA0, b"\x02\x02\x00\x02")), bad)
    yield small_cell("version empty", good.replace(version=tlv(0xA0, b"\x02\x00")), bad)
    yield small_cell("[0] empty", good.replace(version=b"\xa0\x00"), bad)
    yield small_cell("two versions", good.replace(version=tlv(0xA0, integer(2), integer(2))), bad)
    yield small_cell("version primitive", good.replace(version=tlv(0x80, b"\2")), bad)
    serial = Reason.BAD_SERIAL
    yield small_cell("serial 1", good.replace(serial_number=integer(1)))
    yield small_cell("serial of 20 octets", good.replace(serial_number=tlv(2, b"\x7f" + b"\xff" * 19)))
    yield small_cell(
        "serial of 20 octets with a leading zero", good.replace(serial_number=tlv(2, b"\0" + b"\xff" * 19))
    )
    yield small_cell("serial of 21 octets", good.replace(serial_number=tlv(2, b"\x7f" + b"\xff" * 20)), serial)
    yield small_cell("serial of 20 octets and a zero", good.replace(serial_number=tlv(2, b"\0" + b"\xff" * 20)), serial)
    yield small_cell("serial 0", good.replace(serial_number=integer(0)), serial)
    yield small_cell("serial -1", good.replace(serial_number=integer(-1)), serial)
    yield small_cell("serial -129", good.replace(serial_number=integer(-129)), serial)
    yield small_cell("serial empty", good.replace(serial_number=tlv(2)), bad)
    yield small_cell("serial not minimal", good.replace(serial_number=tlv(2, b"\0\x7f")), bad)
    yield small_cell("negative serial not minimal", good.replace(serial_number=tlv(2, b"\xff\x80")), bad)
    yield small_cell("serial missing", good.replace(serial_number=b""), bad)


def algorithms() -> Iterator[Case]:
    good, bad, other = Draft(), Reason.MALFORMED_DER, Reason.UNSUPPORTED_ALGORITHM
    mismatch = Reason.ALGORITHM_MISMATCH
    with_null = sequence(oid("1.2.840.10045.4.3.2"), b"\5\0")
    sha384 = sequence(oid("1.2.840.10045.4.3.3"))
    sha1 = sequence(oid("1.2.840.10045.4.1"))
    yield small_cell("outer algorithm SHA-384", good.replace(outer_algorithm=sha384), mismatch)
    yield small_cell("outer algorithm with NULL", good.replace(outer_algorithm=with_null), mismatch)
    yield small_cell("both with NULL", good.replace(inner_algorithm=with_null), other)
    yield small_cell("both SHA-384", good.replace(inner_algorithm=sha384), other)
    yield small_cell("both SHA-1", good.replace(inner_algorithm=sha1), other)
    yield small_cell("RSA algorithm with a P-256 key", good.replace(inner_algorithm=RSA_SHA256), other)
    yield small_cell(
        "the same, where both are allowed", good.replace(inner_algorithm=RSA_SHA256), other, rules(RSA_PROFILE)
    )
    yield small_cell("no OID", good.replace(inner_algorithm=sequence()), bad)
    yield small_cell("empty OID", good.replace(inner_algorithm=sequence(tlv(6))), bad)
    yield small_cell("OID cut short", good.replace(inner_algorithm=sequence(tlv(6, b"\x2a\x86"))), bad)
    yield small_cell("OID not minimal", good.replace(inner_algorithm=sequence(tlv(6, b"\x2a\x80\x01"))), bad)
    yield small_cell("OID begins with 80", good.replace(inner_algorithm=sequence(tlv(6, b"\x80\x01"))), bad)
    yield small_cell("two parameters", good.replace(inner_algorithm=sequence(oid("1.2.3"), b"\5\0", b"\5\0")), bad)
    yield small_cell("parameters cut short", good.replace(inner_algorithm=sequence(oid("1.2.3"), b"\5\1")), bad)
    yield small_cell(
        "parameters with a long tag", good.replace(inner_algorithm=sequence(oid("1.2.3"), b"\x1f\1\0")), bad
    )
    rsa_good = Draft(inner_algorithm=RSA_SHA256, key=rsa_key())
    yield small_cell("RSA where it is allowed", rsa_good, None, rules(RSA_PROFILE))
    yield small_cell("RSA where the profile says P-256", rsa_good, other)
    no_null = sequence(oid("1.2.840.113549.1.1.11"))
    yield small_cell("RSA without NULL", rsa_good.replace(inner_algorithm=no_null), other, rules(RSA_PROFILE))
    ecdsa_with_rsa_key = rsa_good.replace(inner_algorithm=good.inner_algorithm)
    yield small_cell("ECDSA algorithm with an RSA key", ecdsa_with_rsa_key, other, rules(RSA_PROFILE))
    ca_issued = dataclasses.replace(SMALL_CELL, ca_issued=True)
    yield small_cell("profile of issued certificates", good, Reason.MISSING_EXTENSION, rules(ca_issued))


def subject_with(*rdns: bytes) -> Draft:
    return Draft(subject=sequence(*rdns))


def subjects() -> Iterator[Case]:
    bad, malformed, owner = Reason.BAD_SUBJECT, Reason.MALFORMED_DER, Reason.SUBJECT_NOT_OWNER
    org = attribute(ORG, utf8(ORGANISATION))
    yield small_cell("O as PrintableString", subject_with(attribute(ORG, printable(ORGANISATION))))
    yield small_cell("device serial number", subject_with(org, attribute(SERIAL_NUMBER, printable("SN-1"))))
    yield small_cell("device serial number as UTF8String", subject_with(org, attribute(SERIAL_NUMBER, utf8("SN-1"))))
    yield small_cell("CN is the dNSName", subject_with(org, attribute(CN, utf8(NAME))))
    everything = (attribute(CN, printable(NAME)), attribute(SERIAL_NUMBER, printable("1")), org)
    yield small_cell("all three in another order", subject_with(*everything))
    yield small_cell("issuer with another O", Draft(issuer=name("Other")), Reason.ISSUER_NOT_SUBJECT)
    as_printable = sequence(attribute(ORG, printable(ORGANISATION)))
    yield small_cell("issuer with another string type", Draft(issuer=as_printable), Reason.ISSUER_NOT_SUBJECT)
    yield small_cell("empty issuer", Draft(issuer=sequence()), Reason.ISSUER_NOT_SUBJECT)
    yield small_cell("malformed issuer", Draft(issuer=sequence(b"\x31\x05\x30")), malformed)
    yield small_cell("no RDN", subject_with(), bad)
    yield small_cell("no O", subject_with(attribute(SERIAL_NUMBER, printable("1"))), bad)
    yield small_cell("O twice", subject_with(org, org), bad)
    yield small_cell("CN twice", subject_with(org, *[attribute(CN, utf8(NAME))] * 2), bad)
    yield small_cell("serialNumber twice", subject_with(org, *[attribute(SERIAL_NUMBER, utf8("1"))] * 2), bad)
    yield small_cell("C as well", subject_with(attribute("2.5.4.6", printable("DE")), org), bad)
    yield small_cell("OU as well", subject_with(org, attribute("2.5.4.11", utf8("Cells"))), bad)
    pair = tlv(0x31, sequence(oid(ORG), utf8(ORGANISATION)), sequence(oid(CN), utf8(NAME)))
    yield small_cell("RDN of two attributes", subject_with(pair), bad)
    yield small_cell("empty RDN", subject_with(org, tlv(0x31)), bad)
    yield small_cell("RDN as a sequence", subject_with(sequence(sequence(oid(ORG), utf8(ORGANISATION)))), malformed)
    yield small_cell("attribute as a set", subject_with(tlv(0x31, tlv(0x31, oid(ORG), utf8(ORGANISATION)))), malformed)
    three = tlv(0x31, sequence(oid(ORG), utf8(ORGANISATION), b"\5\0"))
    yield small_cell("attribute of three parts", subject_with(three), malformed)
    yield small_cell("attribute without a value", subject_with(tlv(0x31, sequence(oid(ORG)))), malformed)
    yield small_cell("attribute with a bad OID", subject_with(tlv(0x31, sequence(tlv(6), utf8("x")))), malformed)
    for label, tag in {"T61String": 0x14, "IA5String": 0x16, "BMPString": 0x1E, "UniversalString": 0x1C}.items():
        yield small_cell(f"O as {label}", subject_with(attribute(ORG, tlv(tag, ORGANISATION.encode()))), bad)
    yield small_cell("O as a constructed string", subject_with(attribute(ORG, tlv(0x2C, utf8(ORGANISATION)))), bad)
    yield small_cell("empty O", subject_with(attribute(ORG, utf8(""))), bad)
    long = "A" * 64
    yield small_cell("O of 64 octets", Draft(subject=name(long)), None, rules(organisation=long))
    yield small_cell("O of 65 octets", Draft(subject=name(long + "A")), bad, rules(organisation=long + "A"))
    yield small_cell("O of another member", Draft(subject=name("Acme Small Cell")), owner)
    yield small_cell("O with a look-alike", Draft(subject=name("\u0410cme Small Cells")), owner)
    yield small_cell("O in upper case", Draft(subject=name(ORGANISATION.upper())), owner)
    umlaut = "Ölfässer 蜂窝 😀"
    yield small_cell("O beyond ASCII", Draft(subject=name(umlaut)), None, rules(organisation=umlaut))
    printed = subject_with(attribute(ORG, printable(umlaut)))
    yield small_cell("the same as PrintableString", printed, bad, rules(organisation=umlaut))
    at = subject_with(attribute(ORG, printable("a@b")))
    yield small_cell("PrintableString with @", at, bad, rules(organisation="a@b"))
    yield small_cell("UTF8String with @", Draft(subject=name("a@b")), None, rules(organisation="a@b"))
    every = "AZaz09 '()+,-./:=?"
    punctuation = subject_with(attribute(ORG, printable(every)))
    yield small_cell("every PrintableString character", punctuation, None, rules(organisation=every))
    for label, octets in {
        "overlong": b"\xc0\xaf",
        "overlong of three": b"\xe0\x80\xaf",
        "overlong of four": b"\xf0\x80\x80\xaf",
        "surrogate": b"\xed\xa0\x80",
        "above U+10FFFF": b"\xf4\x90\x80\x80",
        "lone continuation": b"a\x80",
        "cut short": b"a\xe2\x82",
        "f5": b"\xf5\x80\x80\x80",
        "line feed": b"a\nb",
        "zero": b"a\0b",
        "delete": b"a\x7fb",
        "unit separator": b"a\x1fb",
    }.items():
        yield small_cell(f"UTF-8 {label}", subject_with(attribute(ORG, tlv(0x0C, octets))), bad)
    for label, text in {
        "C1 control": "a\x80b",
        "last of two": "\u07ff",
        "U+FFFF": "\uffff",
        "top": "\U0010ffff",
    }.items():
        yield small_cell(f"UTF-8 {label}", Draft(subject=name(text)), None, rules(organisation=text))
    yield small_cell("UTF-8 before surrogates", Draft(subject=name("\ud7ff")), None, rules(organisation="\ud7ff"))
    yield small_cell("serialNumber beyond its set", subject_with(org, attribute(SERIAL_NUMBER, utf8("a_b"))), bad)
    yield small_cell("CN beyond its set", subject_with(org, attribute(CN, utf8("a*b"))), bad)
    long_cn = "a" * 64
    yield small_cell("CN of 64 octets", subject_with(org, attribute(CN, utf8(long_cn))), Reason.COMMON_NAME_NOT_IN_SAN)
    yield small_cell("CN of 65 octets", subject_with(org, attribute(CN, utf8(long_cn + "a"))), bad)
    yield small_cell("CN that is no dNSName", subject_with(org, attribute(CN, utf8("x." + REALM))), Reason(28))
    yield small_cell("CN in upper case", subject_with(org, attribute(CN, utf8(NAME.upper()))), Reason(28))
    yield small_cell("CN a prefix of the dNSName", subject_with(org, attribute(CN, utf8(NAME[:-1]))), Reason(28))


def valid_between(begin: bytes, end: bytes) -> Draft:
    return Draft(validity=sequence(begin, end))


def times() -> Iterator[Case]:
    bad, malformed = Reason.BAD_VALIDITY, Reason.MALFORMED_DER
    now, skew = BLOCK_TIME, SMALL_CELL.skew_seconds
    life = SMALL_CELL.longest_life_days * DAY_S
    yield small_cell("notBefore at the allowance", Draft(validity=validity(now + skew)))
    yield small_cell("notBefore one second past it", Draft(validity=validity(now + skew + 1)), Reason.NOT_YET_VALID)
    yield small_cell("notAfter now", Draft(validity=validity(now - 60, now)))
    yield small_cell("notAfter a second ago", Draft(validity=validity(now - 60, now - 1)), Reason.EXPIRED)
    yield small_cell("one moment", Draft(validity=validity(now, now)))
    yield small_cell("ends before it begins", Draft(validity=validity(now + 2, now + 1)), bad)
    yield small_cell("longest life", Draft(validity=validity(now, now + life)))
    yield small_cell("one second longer", Draft(validity=validity(now, now + life + 1)), Reason.LIFETIME_TOO_LONG)
    endless = valid_between(time(now), ENDLESS)
    yield small_cell("endless where it is not allowed", endless, Reason.LIFETIME_TOO_LONG)
    yield small_cell("endless where it is allowed", endless, None, rules(IOT_DEVICE))
    almost = valid_between(time(now), generalized_time("99991231235958Z"))
    yield small_cell("a second before endless", almost, Reason.LIFETIME_TOO_LONG, rules(IOT_DEVICE))
    before_2000 = valid_between(utc_time("991231235959Z"), time(now + DAY_S))
    young = dataclasses.replace(SMALL_CELL, longest_life_days=36_525)
    yield small_cell("from 1999 on", before_2000, None, rules(young))
    yield small_cell("from 1970 on", valid_between(utc_time("700101000000Z"), time(now + DAY_S)), None, rules(young))
    yield small_cell("from 1969 on", valid_between(utc_time("691231235959Z"), time(now)), bad, rules(young))
    yield small_cell("from 1950 on", valid_between(utc_time("500101000000Z"), time(now)), bad, rules(young))
    yield small_cell("until 2049", valid_between(time(now), utc_time("491231235959Z")), None, rules(young))
    yield small_cell("until 2050", valid_between(time(now), generalized_time("20500101000000Z")), None, rules(young))
    early = valid_between(time(now), generalized_time("20491231235959Z"))
    yield small_cell("GeneralizedTime in 2049", early, bad, rules(young))
    for label, stamp in {
        "without seconds": "3006010000Z",
        "without Z": "300601000000",
        "with an offset": "300601000000+0000",
        "with a fraction": "300601000000.5Z",
        "with small z": "300601000000z",
        "with a letter": "3006010000O0Z",
        "with a sign": "+00601000000Z",
        "with a space": " 00601000000Z",
        "with month 0": "300001000000Z",
        "with month 13": "301301000000Z",
        "with day 0": "300600000000Z",
        "with day 32": "300732000000Z",
        "on 31 June": "300631000000Z",
        "on 29 February 2030": "300229000000Z",
        "on 30 February 2028": "280230000000Z",
        "at hour 24": "300601240000Z",
        "at minute 60": "300601006000Z",
        "at a leap second": "300630235960Z",
        "empty": "",
    }.items():
        yield small_cell(f"UTCTime {label}", valid_between(time(now), utc_time(stamp)), bad)
    yield small_cell("UTCTime on 29 February 2028", valid_between(time(now), utc_time("280229000000Z")))
    for label, stamp in {
        "without seconds": "205006010000Z",
        "with a fraction": "20500601000000.5Z",
        "on 29 February 2100": "21000229000000Z",
        "without Z": "20500601000000",
        "with an offset": "20500601000000+0000",
        "in the form of UTCTime": "500601000000Z",
    }.items():
        yield small_cell(f"GeneralizedTime {label}", valid_between(time(now), generalized_time(stamp)), bad)
    ages = dataclasses.replace(SMALL_CELL, longest_life_days=4_000_000)
    leap = valid_between(time(now), generalized_time("24000229000000Z"))
    yield small_cell("GeneralizedTime on 29 February 2400", leap, None, rules(ages))
    four_digits = valid_between(time(now), tlv(0x17, b"20300601000000Z"))
    yield small_cell("UTCTime with four digits of year", four_digits, bad)
    yield small_cell("time as PrintableString", valid_between(time(now), printable("300601000000Z")), malformed)
    yield small_cell("one time", Draft(validity=sequence(time(now))), malformed)
    yield small_cell("three times", Draft(validity=sequence(time(now), time(now), time(now))), malformed)


def point(octets: bytes) -> bytes:
    return sequence(P256_ALGORITHM, bits(octets))


def uncompressed(number: int = 0) -> bytes:
    return (
        key(number).public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )


def rsa_spki(modulus: bytes, exponent: bytes = integer(65_537), *more: bytes) -> bytes:
    return sequence(sequence(oid("1.2.840.113549.1.1.1"), b"\5\0"), bits(sequence(modulus, exponent, *more)))


def keys() -> Iterator[Case]:
    good, other, bad, malformed = Draft(), Reason(14), Reason.BAD_POINT, Reason.MALFORMED_DER
    p384 = ec.derive_private_key(7, ec.SECP384R1())
    yield small_cell("P-384 key", good.replace(spki=spki(p384)), other)
    octets = uncompressed()
    with_curve = sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.3.132.0.10")), bits(octets))
    yield small_cell("secp256k1 key", good.replace(spki=with_curve), other)
    yield small_cell("no curve", good.replace(spki=sequence(sequence(oid("1.2.840.10045.2.1")), bits(octets))), other)
    null = sequence(sequence(oid("1.2.840.10045.2.1"), b"\5\0"), bits(octets))
    yield small_cell("implicit curve", good.replace(spki=null), other)
    ed25519 = sequence(sequence(oid("1.3.101.112")), bits(b"\1" * 32))
    yield small_cell("Ed25519 key", good.replace(spki=ed25519), other)
    ecdh = sequence(sequence(oid("1.3.132.1.12"), oid("1.2.840.10045.3.1.7")), bits(octets))
    yield small_cell("ECDH key", good.replace(spki=ecdh), other)
    x, y = octets[1:33], octets[33:]
    compressed = bytes([2 + y[-1] % 2]) + x
    yield small_cell("compressed point", good.replace(spki=point(compressed)), bad)
    yield small_cell("hybrid point", good.replace(spki=point(bytes([6 + y[-1] % 2]) + x + y)), bad)
    yield small_cell("point at infinity", good.replace(spki=point(b"\0")), bad)
    yield small_cell("no point", good.replace(spki=point(b"")), bad)
    yield small_cell("point (0, 0)", good.replace(spki=point(b"\4" + bytes(64))), bad)
    yield small_cell("point off the curve", good.replace(spki=point(b"\4" + x + y[:-1] + bytes([y[-1] ^ 1]))), bad)
    yield small_cell("point with a byte more", good.replace(spki=point(octets + b"\0")), bad)
    yield small_cell("point with a byte less", good.replace(spki=point(octets[:-1])), bad)
    # x = 5 lies on the curve, so its unreduced double does but for the range.
    low_y = pow(
        (5**3 - 3 * 5 + 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B) % P, (P + 1) // 4, P
    )
    unreduced = b"\4" + (5 + P).to_bytes(32) + low_y.to_bytes(32)
    yield small_cell("x not reduced", good.replace(spki=point(unreduced)), bad)
    reduced = b"\4" + (5).to_bytes(32) + low_y.to_bytes(32)
    yield small_cell("x reduced, key of somebody else", good.replace(spki=point(reduced)), Reason.BAD_SIGNATURE)
    yield small_cell("key with unused bits", good.replace(spki=sequence(P256_ALGORITHM, bits(octets, 1))), malformed)
    yield small_cell("key as OCTET STRING", good.replace(spki=sequence(P256_ALGORITHM, tlv(4, octets))), malformed)
    yield small_cell("three parts", good.replace(spki=sequence(P256_ALGORITHM, bits(octets), b"\5\0")), malformed)
    yield from rsa_keys()


def rsa_keys() -> Iterator[Case]:
    good, bad, allowed = Draft(inner_algorithm=RSA_SHA256, key=rsa_key()), Reason.BAD_POINT, rules(RSA_PROFILE)
    modulus = rsa_key().public_key().public_numbers().n
    yield small_cell("RSA with 4,096 bits", good.replace(key=rsa_key(4_096)), None, allowed)
    yield small_cell("RSA with 2,056 bits", good.replace(key=rsa_key(2_056)), None, allowed)
    yield small_cell("RSA with 3,001 bits", good.replace(key=rsa_key(3_001)), None, allowed)
    yield small_cell("RSA with 1,024 bits", good.replace(key=rsa_key(1_024)), bad, allowed)
    yield small_cell("RSA with 2,047 bits", good.replace(spki=rsa_spki(integer(1 << 2_046 | 1))), bad, allowed)
    yield small_cell("RSA with 4,097 bits", good.replace(spki=rsa_spki(integer(1 << 4_096 | 1))), bad, allowed)
    yield small_cell("RSA with an even modulus", good.replace(spki=rsa_spki(integer(modulus - 1))), bad, allowed)
    yield small_cell("RSA with a negative modulus", good.replace(spki=rsa_spki(integer(-modulus))), bad, allowed)
    padded = tlv(2, b"\0\0" + modulus.to_bytes(256))
    yield small_cell("RSA with a padded modulus", good.replace(spki=rsa_spki(padded)), bad, allowed)
    for exponent in (3, 17, 65_539, -65_537):
        draft = good.replace(spki=rsa_spki(integer(modulus), integer(exponent)))
        yield small_cell(f"RSA with exponent {exponent}", draft, bad, allowed)
    draft = good.replace(spki=rsa_spki(integer(modulus), tlv(2, b"\0\1\0\1")))
    yield small_cell("RSA with a padded exponent", draft, bad, allowed)
    draft = good.replace(spki=rsa_spki(integer(modulus), integer(65_537), b"\5\0"))
    yield small_cell("RSA key of three parts", draft, bad, allowed)
    only_ec = dataclasses.replace(RSA_PROFILE, key_algorithms=KeyAlgorithm.P256)
    yield small_cell("RSA key not allowed, algorithm allowed", good, Reason(14), rules(only_ec))


def extension_lists() -> Iterator[Case]:
    good, malformed = Draft(), Reason.MALFORMED_DER
    unknown = [extension(f"1.2.3.{number}", b"x") for number in range(14)]
    yield small_cell("16 extensions", good.with_extensions(*unknown[:13]))
    yield small_cell("17 extensions", good.with_extensions(*unknown), Reason.TOO_MANY_EXTENSIONS)
    yield small_cell("keyUsage twice", good.with_extensions(key_usage()), Reason.DUPLICATE_EXTENSION)
    yield small_cell("an unknown one twice", good.with_extensions(*unknown[:1] * 2), Reason.DUPLICATE_EXTENSION)
    yield small_cell("unknown ones far apart", good.with_extensions(*unknown[:9], unknown[0]), Reason(17))
    critical = extension("1.2.3", b"x", critical=True)
    yield small_cell("an unknown critical one", good.with_extensions(critical), Reason.UNKNOWN_CRITICAL_EXTENSION)
    constraints = extension("2.5.29.30", sequence(), critical=True)
    yield small_cell("critical nameConstraints", good.with_extensions(constraints), Reason(18))
    yield small_cell("an unknown empty one", good.with_extensions(extension("1.2.3", b"")))
    yield small_cell("2.5.29.127, unknown", good.with_extensions(extension("2.5.29.127", b"x")))
    yield small_cell("2.5.29.13, unknown", good.with_extensions(extension("2.5.29.13", b"x")))
    yield small_cell("2.5.29.142, unknown", good.with_extensions(extension("2.5.29.142", b"x")))
    yield small_cell("2.5.29.15.1, unknown", good.with_extensions(extension("2.5.29.15.1", b"x")))
    bad = Reason.BAD_CRITICALITY
    yield small_cell("keyUsage not critical", good.replace(extensions=extensions(KU, key_usage(critical=False))), bad)
    for label, kind, value in (
        ("SKI", SKI, tlv(4, b"\x11" * 20)),
        ("SAN", SAN, sequence(dns(NAME))),
        ("AKI", AKI, sequence(tlv(0x80, b"\x11" * 20))),
        ("EKU", EKU, sequence(oid(IPSEC_IKE))),
        ("CDP", CDP, distribution_points("http://a/")[9:]),
        ("AIA", AIA, access()[14:]),
    ):
        changed = extensions(kind, extension(kind, value, critical=True))
        yield small_cell(f"{label} critical", good.replace(extensions=changed), bad)
    yield small_cell("basicConstraints critical", good.with_extensions(basic_constraints()))
    yield small_cell("basicConstraints not critical", good.with_extensions(basic_constraints(critical=False)))
    value = tlv(4, b"x")
    for label, parts in {
        "with critical FALSE": (oid("1.2.3"), b"\1\1\0", value),
        "with critical 01": (oid("1.2.3"), b"\1\1\1", value),
        "with critical of two octets": (oid("1.2.3"), b"\1\2\xff\xff", value),
        "with critical empty": (oid("1.2.3"), b"\1\0", value),
        "with critical twice": (oid("1.2.3"), b"\1\1\xff\1\1\xff", value),
        "without a value": (oid("1.2.3"),),
        "critical without a value": (oid("1.2.3"), b"\1\1\xff"),
        "with a BIT STRING": (oid("1.2.3"), bits(b"x")),
        "with something behind": (oid("1.2.3"), value, b"\5\0"),
        "with an empty OID": (tlv(6), value),
        "with an OID cut short": (tlv(6, b"\x55\x9d"), value),
        "with a padded OID": (tlv(6, b"\x55\x80\x1d"), value),
        "without an OID": (value,),
        "that is empty": (),
    }.items():
        yield small_cell(f"extension {label}", good.with_extensions(sequence(*parts)), malformed)
    yield small_cell("extension as a set", good.with_extensions(tlv(0x31, oid("1.2.3"), value)), malformed)


def extensions(kind: str, changed: bytes) -> tuple[bytes, ...]:
    """A small cell's, with this one in place of the one of its kind, or beside them."""
    listed = {SKI: subject_key(), KU: key_usage(), SAN: alternative_names()}
    listed[kind] = changed
    return tuple(listed.values())


def with_value(kind: str, value: bytes, *, critical: bool = False) -> Draft:
    return Draft(extensions=extensions(kind, extension(kind, value, critical=critical)))


def extension_contents() -> Iterator[Case]:
    bad = Reason.MALFORMED_EXTENSION
    for size in (1, 20, 32):
        yield small_cell(f"SKI of {size} octets", with_value(SKI, tlv(4, b"\1" * size)))
        yield small_cell(f"AKI of {size} octets", with_value(AKI, sequence(tlv(0x80, b"\1" * size))))
    for label, value in {
        "empty": tlv(4),
        "of 33 octets": tlv(4, b"\1" * 33),
        "as BIT STRING": tlv(3, b"\0\1"),
        "with something behind": tlv(4, b"\1") + b"\0",
        "without DER": b"",
    }.items():
        yield small_cell(f"SKI {label}", with_value(SKI, value), bad)
    for label, value in {
        "empty": sequence(),
        "with an empty identifier": sequence(tlv(0x80)),
        "of 33 octets": sequence(tlv(0x80, b"\1" * 33)),
        "with issuer and serial": sequence(tlv(0x80, b"\1"), tlv(0xA1, tlv(0xA4, name())), tlv(0x82, b"\1")),
        "with a serial only": sequence(tlv(0x82, b"\1")),
        "with something behind": sequence(tlv(0x80, b"\1")) + b"\0",
        "constructed": sequence(tlv(0xA0, tlv(4, b"\1"))),
    }.items():
        yield small_cell(f"AKI {label}", with_value(AKI, value), bad)
    yield from key_usages()
    yield from constraints_and_purposes()
    yield from locations()
    for label, value in {
        "empty": sequence(),
        "as a set": tlv(0x31, dns(NAME)),
        "with something behind": sequence(dns(NAME)) + b"\0",
        "cut short": sequence(dns(NAME))[:-1],
        "with an otherName": sequence(dns(NAME), tlv(0xA0, oid("1.2.3"), tlv(0xA0, utf8("x")))),
        "with a directoryName": sequence(dns(NAME), tlv(0xA4, name())),
        "with a constructed dNSName": sequence(tlv(0xA2, tlv(0x16, NAME.encode()))),
        "with a universal tag": sequence(tlv(0x16, NAME.encode())),
        "with an application tag": sequence(tlv(0x42, NAME.encode())),
    }.items():
        yield small_cell(f"SAN {label}", with_value(SAN, value), bad)


def key_usages() -> Iterator[Case]:
    bad, refused = Reason.MALFORMED_EXTENSION, Reason.BAD_KEY_USAGE
    for label, value, reason in (
        ("digitalSignature and keyAgreement", "03020388", None),
        ("digitalSignature and keyEncipherment", "030205a0", None),
        ("digitalSignature and decipherOnly", "0303078080", None),
        ("all but the two", "030307f980", None),
        ("keyAgreement only", "03020308", refused),
        ("keyCertSign as well", "03020284", refused),
        ("cRLSign as well", "03020182", refused),
        ("all nine", "030307ff80", refused),
        ("decipherOnly only", "0303070080", refused),
        ("no bits", "030100", bad),
        ("empty", "0300", bad),
        ("a zero octet", "03020700", bad),
        ("trailing zero bits", "03020680", bad),
        ("trailing zero octet", "0303008000", bad),
        ("unused bits set", "03020781", bad),
        ("eight unused bits", "03020880", bad),
        ("ten bits", "03030680c0", bad),
        ("ten bits, the last set", "0303068040", bad),
        ("three octets", "030400808080", bad),
        ("something behind", "0302078000", bad),
        ("length in long form", "0381020780", bad),
        ("an OCTET STRING", "04020780", bad),
    ):
        yield small_cell(f"keyUsage: {label}", with_value(KU, bytes.fromhex(value), critical=True), reason)
    without = (subject_key(), alternative_names())
    yield small_cell("keyUsage missing", Draft(extensions=without), refused)
    yield small_cell("no extensions at all", Draft(extensions=None), refused)


def constraints_and_purposes() -> Iterator[Case]:
    bad, ca = Reason.MALFORMED_EXTENSION, Reason.CA_CERTIFICATE
    true = b"\1\1\xff"
    for label, value, reason in (
        ("empty", sequence(), None),
        ("CA", sequence(true), ca),
        ("CA with a path length", sequence(true, integer(0)), ca),
        ("CA with a path length of 300", sequence(true, integer(300)), ca),
        ("CA with a negative path length", sequence(true, integer(-1)), bad),
        ("CA with a padded path length", sequence(true, b"\2\2\0\1"), bad),
        ("CA with something behind", sequence(true, integer(0), integer(0)), bad),
        ("cA FALSE encoded", sequence(b"\1\1\0"), bad),
        ("cA 01", sequence(b"\1\1\1"), bad),
        ("path length without cA", sequence(integer(0)), bad),
        ("something behind", sequence() + b"\0", bad),
        ("nothing", b"", bad),
    ):
        yield small_cell(f"basicConstraints: {label}", with_value(BC, value, critical=True), reason)
    two_defects = (key_usage(), basic_constraints(true), subject_key(b""), alternative_names())
    yield small_cell("CA, and a malformed SKI behind it", Draft(extensions=two_defects), bad)
    refused = Reason.BAD_EXTENDED_KEY_USAGE
    for label, purposes, reason in (
        ("ipsecIKE", (IPSEC_IKE,), None),
        ("any", (ANY_PURPOSE,), None),
        ("all four", (IPSEC_IKE, ANY_PURPOSE, SERVER_AUTH, CLIENT_AUTH), None),
        ("codeSigning", ("1.3.6.1.5.5.7.3.3",), refused),
        ("serverAuth and codeSigning", (SERVER_AUTH, "1.3.6.1.5.5.7.3.3"), refused),
        ("a longer OID", (SERVER_AUTH + ".1",), refused),
        ("the same twice", (SERVER_AUTH, SERVER_AUTH), bad),
        ("an unknown one twice", ("1.2.3", "1.2.4", "1.2.3"), bad),
        ("none", (), bad),
    ):
        yield small_cell(f"EKU: {label}", Draft().with_extensions(key_purposes(*purposes)), reason)
    for label, value in {
        "an empty OID": sequence(tlv(6)),
        "an OID cut short": sequence(tlv(6, b"\x2b\x86")),
        "a padded OID": sequence(tlv(6, b"\x2b\x80\x06")),
        "no OID": sequence(integer(1)),
        "something behind": sequence(oid(SERVER_AUTH)) + b"\0",
    }.items():
        yield small_cell(f"EKU: {label}", with_value(EKU, value), bad)
    other = rules(dataclasses.replace(SMALL_CELL, eku_allowed=KeyPurpose.SERVER_AUTH | KeyPurpose.OTHER))
    code_signing = Draft().with_extensions(key_purposes("1.3.6.1.5.5.7.3.3"))
    yield small_cell("EKU: another one where others are allowed", code_signing, None, other)
    sixteen = [f"1.2.3.{number}" for number in range(17)]
    yield small_cell("EKU: 16 others", Draft().with_extensions(key_purposes(*sixteen[:16], SERVER_AUTH)), None, other)
    yield small_cell("EKU: 17 others", Draft().with_extensions(key_purposes(*sixteen)), refused, other)


def locations() -> Iterator[Case]:
    bad = Reason.MALFORMED_EXTENSION
    good = Draft()
    yield small_cell("CDP with one URI", good.with_extensions(distribution_points("http://a.example/c.crl")))
    yield small_cell("CDP with two URIs", good.with_extensions(distribution_points("http://a/", "ldap://b/")))
    longest = "http://" + "a" * 248
    yield small_cell("CDP with a URI of 255 octets", good.with_extensions(distribution_points(longest)))
    one = tlv(0xA0, tlv(0xA0, uri("http://a/")))
    yield small_cell("CDP with two points", with_value(CDP, sequence(sequence(one), sequence(one))))
    for label, value in {
        "empty": sequence(),
        "with an empty point": sequence(sequence()),
        "with reasons": sequence(sequence(one, tlv(0x81, b"\1\6"))),
        "with a cRLIssuer": sequence(sequence(one, tlv(0xA2, tlv(0xA4, name())))),
        "with nameRelativeToCRLIssuer": sequence(sequence(tlv(0xA0, tlv(0xA1, sequence(oid(CN), utf8("x")))))),
        "with no name": sequence(sequence(tlv(0xA0, tlv(0xA0)))),
        "with [0] empty": sequence(sequence(tlv(0xA0))),
        "with a dNSName": sequence(sequence(tlv(0xA0, tlv(0xA0, dns("a.example"))))),
        "with an empty URI": sequence(sequence(tlv(0xA0, tlv(0xA0, uri(""))))),
        "with a URI of 256 octets": sequence(sequence(tlv(0xA0, tlv(0xA0, uri(longest + "a"))))),
        "with a space": sequence(sequence(tlv(0xA0, tlv(0xA0, uri("http://a b/"))))),
        "with a delete": sequence(sequence(tlv(0xA0, tlv(0xA0, uri("http://a\x7f/"))))),
        "with something beyond ASCII": sequence(sequence(tlv(0xA0, tlv(0xA0, uri("http://ä/"))))),
        "with something behind": sequence(sequence(one)) + b"\0",
    }.items():
        yield small_cell(f"CDP {label}", with_value(CDP, value), bad)
    yield small_cell("AIA with a URI", good.with_extensions(access()))
    part = sequence(oid("1.3.6.1.5.5.7.48.2"), uri("http://a/"))
    yield small_cell("AIA with two", with_value(AIA, sequence(part, part)))
    for label, value in {
        "empty": sequence(),
        "with an empty part": sequence(sequence()),
        "without a location": sequence(sequence(oid("1.2.3"))),
        "with a directoryName": sequence(sequence(oid("1.2.3"), tlv(0xA4, name()))),
        "with two locations": sequence(sequence(oid("1.2.3"), uri("http://a/"), uri("http://a/"))),
        "with a bad OID": sequence(sequence(tlv(6), uri("http://a/"))),
        "with something behind": sequence(part) + b"\0",
    }.items():
        yield small_cell(f"AIA {label}", with_value(AIA, value), bad)


def profiles() -> Iterator[Case]:
    missing = Reason.MISSING_EXTENSION
    yield small_cell("SKI missing", Draft(extensions=(key_usage(), alternative_names())), missing)
    yield small_cell("SKI not asked for", Draft(extensions=(key_usage(), alternative_names())), None, rules(IOT_DEVICE))
    yield small_cell("SAN missing", Draft(extensions=(subject_key(), key_usage())), missing)
    no_san = dataclasses.replace(SMALL_CELL, required_extensions=ExtensionKind.KEY_USAGE)
    yield small_cell("SAN not asked for", Draft(extensions=(key_usage(),)), None, rules(no_san))
    org = attribute(ORG, utf8(ORGANISATION))
    lone_cn = Draft(extensions=(key_usage(),), subject=sequence(org, attribute(CN, utf8(NAME))))
    yield small_cell("CN without a SAN", lone_cn, Reason.COMMON_NAME_NOT_IN_SAN, rules(no_san))
    everything = dataclasses.replace(SMALL_CELL, required_extensions=ExtensionKind(255))
    full = Draft().with_extensions(
        basic_constraints(), distribution_points("http://a/"), authority_key(), key_purposes(IPSEC_IKE), access()
    )
    yield small_cell("all eight asked for and there", full, None, rules(everything))
    for position, label in enumerate(("BC", "CDP", "AKI", "EKU", "AIA"), start=3):
        listed = tuple(one for index, one in enumerate(full.extensions or ()) if index != position)
        yield small_cell(f"all eight asked for, no {label}", Draft(extensions=listed), missing, rules(everything))
    year = Draft(validity=validity(BLOCK_TIME, BLOCK_TIME + 365 * DAY_S))
    tls = rules(TLS_DEVICE)
    yield small_cell("TLS with serverAuth", year.with_extensions(key_purposes(SERVER_AUTH)), None, tls)
    yield small_cell("TLS with both", year.with_extensions(key_purposes(CLIENT_AUTH, SERVER_AUTH)), None, tls)
    yield small_cell("TLS with ipsecIKE", year.with_extensions(key_purposes(IPSEC_IKE)), Reason(23), tls)
    yield small_cell("TLS without EKU", year, Reason.BAD_EXTENDED_KEY_USAGE, tls)
    yield small_cell(
        "TLS for 1,096 days", Draft(validity=validity(BLOCK_TIME, BLOCK_TIME + 1_096 * DAY_S)), Reason(13), tls
    )
    asked = rules(dataclasses.replace(SMALL_CELL, eku_required=KeyPurpose.IPSEC_IKE | KeyPurpose.CLIENT_AUTH))
    yield small_cell(
        "EKU asked for and there", Draft().with_extensions(key_purposes(CLIENT_AUTH, IPSEC_IKE)), None, asked
    )
    yield small_cell("EKU with half of it", Draft().with_extensions(key_purposes(CLIENT_AUTH)), Reason(23), asked)
    yield small_cell("EKU asked for, may be absent", Draft(), None, asked)


def named(*names: bytes) -> Draft:
    return Draft(extensions=(subject_key(), key_usage(), alternative_names(*names)))


def names() -> Iterator[Case]:
    bad, refused = Reason.BAD_SAN, Reason.BAD_NAME
    eight = [dns(f"n{number}.{REALM}") for number in range(9)]
    yield small_cell("eight names", named(*eight[:8]), None, DNS_ONLY)
    yield small_cell("nine names", named(*eight), bad, DNS_ONLY)
    two = rules(dataclasses.replace(SMALL_CELL, san_maximum=2), (DNS_RANGE,))
    yield small_cell("two names of two", named(*eight[:2]), None, two)
    yield small_cell("three names of two", named(*eight[:3]), bad, two)
    many = rules(dataclasses.replace(SMALL_CELL, san_maximum=200), (DNS_RANGE,))
    yield small_cell("nine names of 200", named(*eight), bad, many)
    yield small_cell("URI where only DNS is allowed", named(dns(NAME), uri("urn:acme:1")), bad)
    yield small_cell("IP where only DNS is allowed", named(dns(NAME), ip(bytes(4))), bad)
    for label, tag in {"rfc822Name": 0x81, "registeredID": 0x88, "tag [9]": 0x89, "ediPartyName": 0x85}.items():
        yield small_cell(f"{label} beside the name", named(dns(NAME), tlv(tag, b"\x2a\x03")), bad, ANY_NAME)
    long_label = "a" * 63
    longest = f"{'a' * 60}." * 3 + "b" * 51 + "." + REALM
    assert len(longest) == 253
    for label, text, reason in (
        ("a label of 63", f"{long_label}.{REALM}", None),
        ("253 octets", longest, None),
        ("digits", f"0.{REALM}", None),
        ("an inner hyphen", f"a-b.{REALM}", None),
        ("two inner hyphens", f"ab--c.{REALM}", None),
        ("the realm itself", REALM, None),
        ("xn- in the middle", f"axn--b.{REALM}", None),
        ("a label of 64", f"{long_label}a.{REALM}", refused),
        ("254 octets", "c" + longest, refused),
        ("a wildcard", f"*.{REALM}", refused),
        ("upper case", f"A.{REALM}", refused),
        ("upper case in the realm", "a.cells.Acme.example", refused),
        ("an underscore", f"a_b.{REALM}", refused),
        ("a leading hyphen", f"-a.{REALM}", refused),
        ("a trailing hyphen", f"a-.{REALM}", refused),
        ("an empty label", f"a..{REALM}", refused),
        ("a leading dot", f".{REALM}", refused),
        ("a trailing dot", f"a.{REALM}.", refused),
        ("one label", "localhost", refused),
        ("nothing", "", refused),
        ("a space", f"a b.{REALM}", refused),
        ("a zero octet", f"a\0b.{REALM}", refused),
        ("something beyond ASCII", f"é.{REALM}", refused),
        ("a punycode label", f"xn--e1afmkfd.{REALM}", refused),
        ("a punycode label further left", f"xn--a.b.{REALM}", refused),
        ("an empty punycode label", f"xn--.{REALM}", refused),
        ("a punycode label of two", f"xn--a.{REALM}", refused),
    ):
        yield small_cell(f"dNSName with {label}", named(dns(text)), reason, DNS_ONLY)
    yield small_cell("the same dNSName twice", named(dns(NAME), dns(NAME)), refused)
    yield small_cell("the same octets as DNS and URI", named(dns("a." + REALM), uri("urn:acme:1")), None, ANY_NAME)
    yield small_cell("the same URI twice", named(uri("urn:acme:1"), uri("urn:acme:1")), refused, ANY_NAME)
    for label, text, reason in (
        ("1 character", "urn:acme:1", None),
        ("every character", "urn:acme:AZaz09.:_-", None),
        ("255 octets", "urn:acme:" + "a" * 246, None),
        ("256 octets", "urn:acme:" + "a" * 247, refused),
        ("upper-case scheme", "URN:acme:1", refused),
        ("no scheme", "acme:1", refused),
        ("https", "https://acme.example/", refused),
        ("a percent sign", "urn:acme:%31", refused),
        ("a slash", "urn:acme:a/b", refused),
        ("nothing behind urn:", "urn:", refused),
        ("nothing", "", refused),
        ("a space", "urn:acme: 1", refused),
    ):
        yield small_cell(f"URI with {label}", named(uri(text)), reason, ANY_NAME)
    for size in (0, 3, 5, 8, 15, 17, 32):
        yield small_cell(f"IP of {size} octets", named(ip(bytes(size))), refused, ANY_NAME)


def ranges() -> Iterator[Case]:
    outside = Reason.NAME_NOT_IN_LOT
    for label, text, reason in (
        ("first of the range", f"00a1b2c3d000.{REALM}", None),
        ("last of the range", f"00a1b2c3dfff.{REALM}", None),
        ("one below", f"00a1b2c3cfff.{REALM}", outside),
        ("one above", f"00a1b2c3e000.{REALM}", outside),
        ("no hexadecimal digits", f"00a1b2c3d00g.{REALM}", outside),
        ("11 digits", f"0a1b2c3d001.{REALM}", outside),
        ("13 digits", f"000a1b2c3d001.{REALM}", outside),
        ("16 digits", f"000000a1b2c3d001.{REALM}", outside),
        ("a label more", f"x.00a1b2c3d001.{REALM}", outside),
        ("another realm", "00a1b2c3d001.cells.acme.test", outside),
        ("a longer realm", f"00a1b2c3d001.{REALM}.example", outside),
        ("the realm alone", REALM, outside),
    ):
        yield small_cell(f"EUI-48: {label}", named(dns(text)), reason)
    eui64 = rules(SMALL_CELL, (NameRange(RangeKind.EUI, 64, 1, 0xFFFFFFFFFFFFFFFE, REALM.encode()),))
    for label, text, reason in (
        ("first", f"0000000000000001.{REALM}", None),
        ("last", f"fffffffffffffffe.{REALM}", None),
        ("below", f"0000000000000000.{REALM}", outside),
        ("above", f"ffffffffffffffff.{REALM}", outside),
        ("12 digits", f"000000000001.{REALM}", outside),
    ):
        yield small_cell(f"EUI-64: {label}", named(dns(text)), reason, eui64)
    for label, text, reason in (
        ("below", f"a.b.{REALM}", None),
        ("beside, without a dot", f"x{REALM}", outside),
        ("above", "acme.example", outside),
        ("elsewhere", "a.cells.acme.test", outside),
    ):
        yield small_cell(f"DNS range: {label}", named(dns(text)), reason, DNS_ONLY)
    international = rules(SMALL_CELL, (NameRange(RangeKind.DNS, 0, 0, 0, b"xn--bcher-kva.example"),))
    yield small_cell("punycode in the range", named(dns("a.xn--bcher-kva.example")), None, international)
    yield small_cell("the range itself", named(dns("xn--bcher-kva.example")), None, international)
    nested = named(dns("xn--a.xn--bcher-kva.example"))
    yield small_cell("punycode before the range", nested, Reason.BAD_NAME, international)
    yield small_cell("punycode outside every range", named(dns("xn--b.example")), Reason.BAD_NAME, international)
    yield small_cell("plain name outside it", named(dns("b.example")), outside, international)
    inner = rules(SMALL_CELL, (DNS_RANGE, NameRange(RangeKind.DNS, 0, 0, 0, b"xn--a." + REALM.encode())))
    yield small_cell("punycode in the narrower of two ranges", named(dns(f"b.xn--a.{REALM}")), None, inner)
    eui_punycode = rules(SMALL_CELL, (NameRange(RangeKind.EUI, 48, 0, 9, b"xn--bcher-kva.example"),))
    yield small_cell("EUI below punycode", named(dns("000000000001.xn--bcher-kva.example")), None, eui_punycode)
    yield small_cell("one inside, one outside", named(dns(NAME), dns("a.other.example")), outside)
    yield small_cell("no range", named(dns(NAME)), outside, rules(SMALL_CELL, ()))
    yield small_cell("URN range", named(uri("urn:acme:1")), None, rules(ANY_NAME_PROFILE, (URN_RANGE,)))
    yield small_cell("URN range itself", named(uri("urn:acme:")), outside, rules(ANY_NAME_PROFILE, (URN_RANGE,)))
    yield small_cell("another URN", named(uri("urn:acmf:1")), outside, rules(ANY_NAME_PROFILE, (URN_RANGE,)))
    yield small_cell("DNS name in a URN range", named(dns(NAME)), outside, rules(ANY_NAME_PROFILE, (URN_RANGE,)))
    v4, v6 = rules(ANY_NAME_PROFILE, (IPV4_RANGE,)), rules(ANY_NAME_PROFILE, (IPV6_RANGE,))
    yield small_cell("IPv4 inside", named(ip(bytes([192, 0, 3, 255]))), None, v4)
    yield small_cell("IPv4 outside", named(ip(bytes([192, 0, 4, 0]))), outside, v4)
    yield small_cell("IPv6 inside", named(ip(bytes.fromhex("20010db8ffff0000000000000000abcd"))), None, v6)
    yield small_cell("IPv6 outside", named(ip(bytes.fromhex("20010db87fff0000000000000000abcd"))), outside, v6)
    yield small_cell("IPv4 in an IPv6 range", named(ip(bytes([0x20, 1, 0x0D, 0xB8]))), outside, v6)
    yield small_cell("IPv6 in an IPv4 range", named(ip(bytes([192, 0, 2, 1] * 4))), outside, v4)
    all_v4 = rules(ANY_NAME_PROFILE, (NameRange(RangeKind.IP, 0, 0, 0, bytes(4)),))
    yield small_cell("IPv4 in the widest range", named(ip(bytes([8, 8, 8, 8]))), None, all_v4)
    host = rules(ANY_NAME_PROFILE, (NameRange(RangeKind.IP, 128, 0, 0, bytes(15) + b"\1"),))
    yield small_cell("IPv6 host", named(ip(bytes(15) + b"\1")), None, host)
    yield small_cell("IPv6 neighbour", named(ip(bytes(15) + b"\2")), outside, host)
    all_kinds = (dns(NAME), uri("urn:acme:1"), ip(bytes([192, 0, 2, 1])), ip(bytes.fromhex("20010db8" + "f" * 24)))
    yield small_cell("all kinds", named(*all_kinds), None, ANY_NAME)


def ecdsa(r: bytes, s: bytes, *more: bytes) -> bytes:
    return sequence(r, s, *more)


ECDSA_OF_72_BYTES = ecdsa(integer(N - 1), integer(N - 2))


def signature_parts(draft: Draft) -> tuple[int, int]:
    """r and s of a good signature over the draft."""
    return decode_dss_signature(sign(draft.key, draft.signed_part()))


def signatures() -> Iterator[Case]:
    good, bad = Draft(), Reason.BAD_SIGNATURE
    r, s = signature_parts(good)
    low, high = min(s, N - s), max(s, N - s)
    yield small_cell("low s", good.replace(signature=ecdsa(integer(r), integer(low))))
    yield small_cell("high s", good.replace(signature=ecdsa(integer(r), integer(high))))
    yield small_cell("signature of another key", good.replace(signer=key(1)), bad)
    for label, signature in {
        "with another r": ecdsa(integer(r ^ 1), integer(s)),
        "with r and s swapped": ecdsa(integer(s), integer(r)),
        "with r 0": ecdsa(integer(0), integer(s)),
        "with s 0": ecdsa(integer(r), integer(0)),
        "with r and s 0": ecdsa(integer(0), integer(0)),
        "with r = n": ecdsa(integer(N), integer(s)),
        "with s = n": ecdsa(integer(r), integer(N)),
        "with r + n": ecdsa(integer(r + N), integer(s)),
        "with s + n": ecdsa(integer(r), integer(s + N)),
        "with r + 2^256": ecdsa(integer(r + (1 << 256)), integer(s)),
        "with s + 2^320": ecdsa(integer(r), integer(s + (1 << 320))),
        "with -r": ecdsa(integer(-r), integer(s)),
        "with r - n": ecdsa(integer(r - N), integer(s)),
        "with r padded": ecdsa(tlv(2, b"\0" + integer(r)[2:]), integer(s)),
        "with s padded": ecdsa(integer(r), tlv(2, b"\0" + integer(s)[2:])),
        "of three numbers": ecdsa(integer(r), integer(s), integer(1)),
        "of one number": ecdsa(integer(r), b""),
        "with something behind": ecdsa(integer(r), integer(s)) + b"\0",
        "as a set": tlv(0x31, integer(r), integer(s)),
        "as r || s": r.to_bytes(32) + s.to_bytes(32),
        "with a long length": b"\x30\x81" + ecdsa(integer(r), integer(s))[1:],
        "that is empty": b"",
    }.items():
        yield small_cell(f"signature {label}", good.replace(signature=signature), bad)
    signed = bytearray(good.signed_part())
    signed[15] ^= 1  # inside the serial number
    signature = ecdsa(integer(r), integer(s))
    yield Case("signed part changed", good.replace(signature=signature).wrap(bytes(signed)), rules(), bad)
    yield from rsa_signatures()


def rsa_signatures() -> Iterator[Case]:
    good, bad, allowed = Draft(inner_algorithm=RSA_SHA256, key=rsa_key()), Reason.BAD_SIGNATURE, rules(RSA_PROFILE)
    private: rsa.RSAPrivateNumbers = rsa_key().private_numbers()
    modulus = private.public_numbers.n
    signature = int.from_bytes(sign(rsa_key(), good.signed_part()))
    digest = hashlib.sha256(good.signed_part()).digest()

    def raw(message: bytes) -> bytes:
        return pow(int.from_bytes(message), private.d, modulus).to_bytes(256)

    def padded(info: bytes, head: bytes = b"\0\1", filling: int | None = None) -> bytes:
        count = 256 - len(head) - 1 - len(info) if filling is None else filling
        return (head + b"\xff" * count + b"\0" + info).ljust(256, b"\0")

    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    without_null = bytes.fromhex("302f300b0609608648016503040201" + "0420") + digest
    sha512 = bytes.fromhex("3051300d060960864801650304020305000440") + digest * 2
    yield small_cell("RSA signature by hand", good.replace(signature=raw(padded(info))), None, allowed)
    for label, value in {
        "without NULL in DigestInfo": raw(padded(without_null)),
        "with SHA-512 in DigestInfo": raw(padded(sha512)),
        "with block type 2": raw(padded(info, b"\0\2")),
        "with short padding and garbage": raw(padded(info, filling=8)),
        "a byte short": signature.to_bytes(256)[:-1],
        "a byte long": b"\0" + signature.to_bytes(256),
        "zero": bytes(256),
        "one": (1).to_bytes(256),
        "the modulus": modulus.to_bytes(256),
        "the modulus less one": (modulus - 1).to_bytes(256),
        "plus the modulus": (signature + modulus).to_bytes(257)[-256:],
        "with a bit changed": (signature ^ 1 << 77).to_bytes(256),
        "empty": b"",
    }.items():
        yield small_cell(f"RSA signature {label}", good.replace(signature=value), bad, allowed)
