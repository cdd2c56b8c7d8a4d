"""Certificates for tests, built from raw DER so that any field can be bent and the result signed again.

`Draft()` is a good small-cell certificate; `dataclasses.replace` it, or give `extension(...)` lists, and call
`encode()`. It uses nothing of the packages under test but the profiles.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pki_chain.ports import NameRange, RangeKind
from pki_chain.x509.profile import SMALL_CELL, Profile
from pki_chain.x509.rules import CertificateRules

BLOCK_TIME = 1_790_000_000
DAY_S = 86_400
ORGANISATION = "Acme Small Cells"
REALM = "cells.acme.example"
NAME = f"00a1b2c3d4e5.{REALM}"

EUI_RANGE = NameRange(RangeKind.EUI, 48, 0x00A1B2C3D000, 0x00A1B2C3DFFF, REALM.encode())
DNS_RANGE = NameRange(RangeKind.DNS, 0, 0, 0, REALM.encode())
URN_RANGE = NameRange(RangeKind.URN, 0, 0, 0, b"urn:acme:")
IPV4_RANGE = NameRange(RangeKind.IP, 22, 0, 0, bytes([192, 0, 0, 0]))
IPV6_RANGE = NameRange(RangeKind.IP, 33, 0, 0, bytes.fromhex("20010db8800000000000000000000000"))
ALL_RANGES = (EUI_RANGE, DNS_RANGE, URN_RANGE, IPV4_RANGE, IPV6_RANGE)

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")

SKI, KU, SAN, BC = "2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19"
CDP, AKI, EKU, AIA = "2.5.29.31", "2.5.29.35", "2.5.29.37", "1.3.6.1.5.5.7.1.1"
SERVER_AUTH, CLIENT_AUTH, IPSEC_IKE = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.17"
ANY_PURPOSE = "2.5.29.37.0"
ORG, SERIAL_NUMBER, CN = "2.5.4.10", "2.5.4.5", "2.5.4.3"

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def rules(
    profile: Profile = SMALL_CELL,
    ranges: tuple[NameRange, ...] = (EUI_RANGE,),
    organisation: str = ORGANISATION,
    block_time: int = BLOCK_TIME,
) -> CertificateRules:
    """Rules that `Draft()` meets."""
    return CertificateRules(profile, organisation, ranges, block_time)


# DER, as the tests want it: also wrong.


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element with a minimal length."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content += bytes(reversed(groups))
    return tlv(0x06, content)


def bits(octets: bytes, unused: int = 0) -> bytes:
    return tlv(0x03, bytes([unused]), octets)


def utf8(text: str) -> bytes:
    return tlv(0x0C, text.encode())


def printable(text: str) -> bytes:
    return tlv(0x13, text.encode())


def attribute(kind: str, value: bytes) -> bytes:
    """One RDN with one attribute."""
    return tlv(0x31, sequence(oid(kind), value))


def name(organisation: str = ORGANISATION, *more: bytes) -> bytes:
    return sequence(attribute(ORG, utf8(organisation)), *more)


def utc_time(text: str) -> bytes:
    return tlv(0x17, text.encode())


def generalized_time(text: str) -> bytes:
    return tlv(0x18, text.encode())


def time(seconds: int) -> bytes:
    """As RFC 5280 §4.1.2.5 wants it."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    stamp = f"{moment.year:04}{moment:%m%d%H%M%S}Z"
    return utc_time(stamp[2:]) if moment.year < 2050 else generalized_time(stamp)


def validity(not_before: int = BLOCK_TIME - 60, not_after: int = BLOCK_TIME + 3_000 * DAY_S) -> bytes:
    return sequence(time(not_before), time(not_after))


def extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    return sequence(oid(kind), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))


def dns(text: str) -> bytes:
    return tlv(0x82, text.encode())


def uri(text: str) -> bytes:
    return tlv(0x86, text.encode())


def ip(octets: bytes) -> bytes:
    return tlv(0x87, octets)


def alternative_names(*names: bytes) -> bytes:
    return extension(SAN, sequence(*(names or (dns(NAME),))))


def key_usage(value: bytes = bytes.fromhex("03020780"), *, critical: bool = True) -> bytes:
    return extension(KU, value, critical=critical)


def key_purposes(*purposes: str) -> bytes:
    return extension(EKU, sequence(*(oid(purpose) for purpose in purposes)))


def subject_key(identifier: bytes = b"\x11" * 20) -> bytes:
    return extension(SKI, tlv(0x04, identifier))


def authority_key(identifier: bytes = b"\x11" * 20) -> bytes:
    return extension(AKI, sequence(tlv(0x80, identifier)))


def basic_constraints(*parts: bytes, critical: bool = True) -> bytes:
    return extension(BC, sequence(*parts), critical=critical)


def distribution_points(*uris: str) -> bytes:
    full_name = tlv(0xA0, *(uri(text) for text in uris))
    return extension(CDP, sequence(sequence(tlv(0xA0, full_name))))


def access(text: str = "http://ocsp.acme.example/") -> bytes:
    return extension(AIA, sequence(sequence(oid("1.3.6.1.5.5.7.48.1"), uri(text))))


def small_cell_extensions() -> tuple[bytes, ...]:
    return (subject_key(), key_usage(), alternative_names())


@cache
def key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    """A P-256 key that is the same in every run."""
    return ec.derive_private_key(
        int.from_bytes(hashlib.sha256(b"tiger-tally test key %d" % number).digest()), ec.SECP256R1()
    )


@cache
def rsa_key(size: int = 2_048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, size)


def spki(private_key: PrivateKey) -> bytes:
    return private_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign(private_key: PrivateKey, signed: bytes) -> bytes:
    """The same signature in every run."""
    if isinstance(private_key, rsa.RSAPrivateKey):
        return private_key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    return private_key.sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


@dataclass(frozen=True)
class Draft:
    """The parts of a certificate, each a whole TLV unless said otherwise.

    `extensions` None leaves out [3]; `tail` stands behind it inside the signed part; `signature` (octets) None means a
    good one by `signer`, or by `key` without one.
    """

    version: bytes = tlv(0xA0, integer(2))
    serial_number: bytes = integer(0x1122334455667788)
    inner_algorithm: bytes = ECDSA_SHA256
    issuer: bytes | None = None
    validity: bytes = field(default_factory=validity)
    subject: bytes = field(default_factory=name)
    spki: bytes | None = None
    extensions: tuple[bytes, ...] | None = field(default_factory=small_cell_extensions)
    tail: bytes = b""
    outer_algorithm: bytes | None = None
    key: PrivateKey = field(default_factory=key)
    signer: PrivateKey | None = None
    signature: bytes | None = None

    def replace(self, **changes: object) -> Draft:
        """The same with other parts."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def with_extensions(self, *more: bytes) -> Draft:
        """The same with these extensions added."""
        return self.replace(extensions=(*(self.extensions or ()), *more))

    def signed_part(self) -> bytes:
        """TBSCertificate."""
        extensions = b"" if self.extensions is None else tlv(0xA3, sequence(*self.extensions))
        return sequence(
            self.version,
            self.serial_number,
            self.inner_algorithm,
            self.subject if self.issuer is None else self.issuer,
            self.validity,
            self.subject,
            spki(self.key) if self.spki is None else self.spki,
            extensions,
            self.tail,
        )

    def encode(self) -> bytes:
        """The certificate, signed over the parts as they are."""
        return self.wrap(self.signed_part())

    def wrap(self, signed: bytes) -> bytes:
        """A certificate round any signed part."""
        signature = sign(self.signer or self.key, signed) if self.signature is None else self.signature
        algorithm = self.inner_algorithm if self.outer_algorithm is None else self.outer_algorithm
        return sequence(signed, algorithm, bits(signature))
