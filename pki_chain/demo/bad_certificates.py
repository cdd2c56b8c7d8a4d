"""One certificate of every bad kind, each with exactly one defect, bent from a good one and signed again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

from pki_chain.x509.public_key import N
from pki_chain.x509.reasons import Reason

_SHA256 = hashes.SHA256()
_DAY = timedelta(days=1)
_LIFE = timedelta(days=3_653)
_ECDSA_WITH_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
_EXAMPLE_ARC = "1.3.6.1.4.1.32473"
"""Private arc reserved for documentation (RFC 5612)."""

_SERIAL, _SPKI, _EXTENSIONS = 1, 6, 7
"""Places in TBSCertificate, counted after the version."""

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class BadCertificate:
    """A certificate that must not get in, and the reason that must be given for it."""

    kind: str
    der: bytes
    reason: Reason


@dataclass(frozen=True, slots=True)
class Line:
    """What a good certificate of this production line looks like; `next_name` gives a fresh name of the lot."""

    organisation: str
    realm: str
    foreign_organisation: str
    foreign_realm: str
    now: int
    next_name: Callable[[], str]


def certificate(
    line: Line,
    *,
    key: Key | None = None,
    signer: Key | None = None,
    organisation: str = "",
    names: list[str] | None = None,
    not_before: timedelta = timedelta(),
    life: timedelta = _LIFE,
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    key_cert_sign: bool = False,
) -> bytes:
    """A certificate of the line in DER; without arguments a good one with a key of its own."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation or line.organisation)])
    begin = datetime.fromtimestamp(line.now, UTC) + not_before
    builder = (
        x509.CertificateBuilder()
        .serial_number(secrets.randbits(126) | 1 << 126)
        .issuer_name(subject)
        .subject_name(subject)
        .not_valid_before(begin)
        .not_valid_after(begin + life)
        .public_key(key.public_key())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_key_usage(key_cert_sign=key_cert_sign), critical=True)
    )
    names = [line.next_name()] if names is None else names
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False
        )
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer or key, _SHA256).public_bytes(serialization.Encoding.DER)


def bad_certificates(line: Line, known: bytes) -> Iterator[BadCertificate]:
    """One of every kind that the contract refuses; `known` is a certificate that is on the ledger."""
    good = certificate(line)
    key = ec.generate_private_key(ec.SECP256R1())
    yield BadCertificate("truncated", good[:-7], Reason.MALFORMED_DER)
    yield BadCertificate("extended by one octet", good + b"\0", Reason.MALFORMED_DER)
    yield BadCertificate("BER, indefinite length", b"\x30\x80" + good[4:] + b"\0\0", Reason.MALFORMED_DER)
    yield BadCertificate("length not minimal", b"\x30\x83\0" + good[2:], Reason.MALFORMED_DER)
    yield BadCertificate("integer not minimal", _bent(line, key, _SERIAL, b"\x02\x02\0\x01"), Reason.MALFORMED_DER)
    yield BadCertificate("64 KB", good + bytes(65_536 - len(good)), Reason.ENTRY_TOO_LARGE)
    yield BadCertificate("serial number zero", _bent(line, key, _SERIAL, b"\x02\x01\0"), Reason.BAD_SERIAL)
    yield BadCertificate("serial number negative", _bent(line, key, _SERIAL, b"\x02\x01\xff"), Reason.BAD_SERIAL)
    yield BadCertificate(
        "serial number of 21 octets", _bent(line, key, _SERIAL, b"\x02\x15" + b"\x01" * 21), Reason.BAD_SERIAL
    )
    yield from _signatures(line, known)
    yield from _keys(line)
    yield from _validity_and_subject(line)
    yield from _names(line)
    yield from _extensions(line)


def _signatures(line: Line, known: bytes) -> Iterator[BadCertificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    signed, algorithm, signature = children(certificate(line, key=key))
    r, s = decode_dss_signature(content_octets(signature)[1:])
    changed = tlv(0x03, b"\0" + encode_dss_signature(r, s ^ 1))
    yield BadCertificate("wrong signature", tlv(0x30, signed + algorithm + changed), Reason.BAD_SIGNATURE)
    other = certificate(line, signer=ec.generate_private_key(ec.SECP256R1()))
    yield BadCertificate("signature of another key", other, Reason.BAD_SIGNATURE)
    mismatch = tlv(0x30, signed + _ECDSA_WITH_SHA384 + signature)
    yield BadCertificate("algorithm inside differs from outside", mismatch, Reason.ALGORITHM_MISMATCH)
    known_signed, known_algorithm, known_signature = children(known)
    r, s = decode_dss_signature(content_octets(known_signature)[1:])
    twin = tlv(0x03, b"\0" + encode_dss_signature(r, N - s))
    yield BadCertificate(
        "twin signature of a known certificate",
        tlv(0x30, known_signed + known_algorithm + twin),
        Reason.ALREADY_SEEN,
    )
    yield BadCertificate("duplicate certificate", known, Reason.ALREADY_SEEN)


def _keys(line: Line) -> Iterator[BadCertificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
    algorithm = children(
        key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )[0]
    off = b"\x04" + x + bytes([*y[:-1], y[-1] ^ 1])
    compressed = bytes([2 + y[-1] % 2]) + x
    for kind, point in (("point off the curve", off), ("compressed point", compressed)):
        spki = tlv(0x30, algorithm + tlv(0x03, b"\0" + point))
        yield BadCertificate(kind, _bent(line, key, _SPKI, spki), Reason.BAD_POINT)
    yield BadCertificate(
        "key on P-384", certificate(line, key=ec.generate_private_key(ec.SECP384R1())), Reason.KEY_ALGORITHM_NOT_ALLOWED
    )
    yield BadCertificate(
        "RSA key and signature",
        certificate(line, key=rsa.generate_private_key(65_537, 2_048)),
        Reason.UNSUPPORTED_ALGORITHM,
    )


def _validity_and_subject(line: Line) -> Iterator[BadCertificate]:
    expired = certificate(line, not_before=-_DAY * 400, life=_DAY * 365)
    yield BadCertificate("expired", expired, Reason.EXPIRED)
    yield BadCertificate("not yet valid", certificate(line, not_before=_DAY, life=_DAY * 365), Reason.NOT_YET_VALID)
    yield BadCertificate("one day too long", certificate(line, life=_LIFE + _DAY), Reason.LIFETIME_TOO_LONG)
    yield BadCertificate(
        "subject of another member",
        certificate(line, organisation=line.foreign_organisation),
        Reason.SUBJECT_NOT_OWNER,
    )


def _names(line: Line) -> Iterator[BadCertificate]:
    serial = line.next_name().partition(".")[0]
    for kind, names, reason in (
        ("no subjectAltName", [], Reason.MISSING_EXTENSION),
        ("name of another member", [f"{serial}.{line.foreign_realm}"], Reason.NAME_NOT_IN_LOT),
        ("wildcard name", [f"*.{line.realm}"], Reason.BAD_NAME),
        ("upper-case name", [f"{serial.upper()}.{line.realm}"], Reason.BAD_NAME),
        ("look-alike name", [f"xn--{serial}-9ya.{line.realm}"], Reason.BAD_NAME),
    ):
        yield BadCertificate(kind, certificate(line, names=names), reason)


def _extensions(line: Line) -> Iterator[BadCertificate]:
    yield BadCertificate(
        "CA certificate",
        certificate(line, more=((x509.BasicConstraints(ca=True, path_length=None), True),)),
        Reason.CA_CERTIFICATE,
    )
    yield BadCertificate("key usage of a CA", certificate(line, key_cert_sign=True), Reason.BAD_KEY_USAGE)
    many = tuple((_unknown(number), False) for number in range(14))
    yield BadCertificate("17 extensions", certificate(line, more=many), Reason.TOO_MANY_EXTENSIONS)
    critical = certificate(line, more=((_unknown(0), True),))
    yield BadCertificate("unknown critical extension", critical, Reason.UNKNOWN_CRITICAL_EXTENSION)
    key = ec.generate_private_key(ec.SECP256R1())
    extensions = children(content_octets(_parts(certificate(line, key=key))[_EXTENSIONS]))
    twice = tlv(0xA3, tlv(0x30, b"".join([*extensions, extensions[0]])))
    yield BadCertificate("duplicate extension", _bent(line, key, _EXTENSIONS, twice), Reason.DUPLICATE_EXTENSION)


def weak_key_certificate(line: Line) -> BadCertificate:
    """A flawless certificate of a key that everybody knows (private key 1): only validators can tell."""
    key = ec.derive_private_key(1, ec.SECP256R1())
    return BadCertificate("key that everybody knows", certificate(line, key=key), Reason.WEAK_KEY)


def taken_name_certificate(line: Line, name: str) -> BadCertificate:
    """A flawless certificate of a fresh key with the name of a living device: only validators can tell."""
    return BadCertificate("name of a living device", certificate(line, names=[name]), Reason.NAME_LIVE_ELSEWHERE)


def _key_usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _unknown(number: int) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(f"{_EXAMPLE_ARC}.{number + 1}"), b"\x05\0")


def _bent(line: Line, key: ec.EllipticCurvePrivateKey, place: int, replacement: bytes) -> bytes:
    """A good certificate with one part of its signed part replaced, signed again."""
    der = certificate(line, key=key)
    _, algorithm, _ = children(der)
    parts = _parts(der)
    parts[place] = replacement
    signed = tlv(0x30, b"".join(parts))
    return tlv(0x30, signed + algorithm + tlv(0x03, b"\0" + key.sign(signed, ec.ECDSA(_SHA256))))


def _parts(der: bytes) -> list[bytes]:
    return children(children(der)[0])


# DER, as far as bending needs it; what comes in was just made by `cryptography`.


def tlv(tag: int, content: bytes) -> bytes:
    """One element with a minimal length."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def content_octets(element: bytes) -> bytes:
    """The content octets of an element."""
    return element[_header_bytes(element) :]


def children(element: bytes) -> list[bytes]:
    """The elements inside a constructed one."""
    rest, found = content_octets(element), []
    while rest:
        header = _header_bytes(rest)
        size = rest[1] if rest[1] < 0x80 else int.from_bytes(rest[2:header])
        found.append(rest[: header + size])
        rest = rest[header + size :]
    return found


def _header_bytes(element: bytes) -> int:
    return 2 if element[1] < 0x80 else 2 + (element[1] & 0x7F)
