"""Signed revocation lists for self-signed certificates: full and delta, in parts, read back by whoever relies on them.

Every certificate on such a list has another issuer, itself, so the lists are indirect: each entry names its issuer.
openssl's `-crl_check` and strongSwan look for a list of the certificate's own issuer and take none of these; our tools
and cryptography's reader do. The number of a list is that of the block it was cut at, its times are that block's.

Source: RFC 5280 §5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from pki_chain.errors import InputError
from pki_chain.status import encoding
from pki_chain.status.status_key import StatusKey
from pki_chain.x509.object_identifiers import ECDSA_WITH_SHA256

CERTIFICATE_HOLD: Final = 6
REMOVE_FROM_CRL: Final = 8
"""CRLReason. Source: RFC 5280 §5.3.1."""

CERTIFICATES_A_PART: Final = 8_192
"""So many published certificates share a part, which stays below 1 MB if all of them are revoked."""

_CRL_NUMBER: Final = bytes.fromhex("551d14")
_REASON_CODE: Final = bytes.fromhex("551d15")
_DELTA_CRL_INDICATOR: Final = bytes.fromhex("551d1b")
_ISSUING_DISTRIBUTION_POINT: Final = bytes.fromhex("551d1c")
_CERTIFICATE_ISSUER: Final = bytes.fromhex("551d1d")
_FRESHEST_CRL: Final = bytes.fromhex("551d2e")
_AUTHORITY_KEY_IDENTIFIER: Final = bytes.fromhex("551d23")
_UNSPECIFIED: Final = 0


class CrlError(InputError):
    """Octets are no revocation list that can be relied on here; the text says why."""

    code = "bad-crl"


@dataclass(frozen=True, slots=True)
class CrlScope:
    """What a list is about: part `part` of `parts` (a power of two) of a profile's certificates."""

    profile: int
    part: int
    parts: int

    @property
    def name(self) -> str:
        """As the issuing distribution point has it: a list answers for the certificates of its scope only."""
        return f"urn:tiger-tally:crl:{self.profile}:{self.part}-of-{self.parts}"


@dataclass(frozen=True, slots=True)
class CrlEntry:
    """One certificate: DER of its issuer's Name, serial number, reason, and since when (seconds since 1970)."""

    issuer: bytes
    serial_number: int
    reason: int
    since: int


def parts_of(published: int) -> int:
    """In how many parts the list of a profile comes that has so many published certificates."""
    parts = 1
    while published > parts * CERTIFICATES_A_PART:
        parts *= 2
    return parts


def part_of(spki_sha256: bytes, parts: int) -> int:
    """The part that a key's certificates are in."""
    return int.from_bytes(spki_sha256[:4]) % parts


def encode_crl(
    key: StatusKey,
    scope: CrlScope,
    *,
    number: int,
    base: int | None,
    this_update: int,
    next_update: int,
    entries: Sequence[CrlEntry],
) -> bytes:
    """A signed list in DER; with `base` a delta to the full list of that number."""
    listed = b"".join(_encode_entries(sorted(entries, key=lambda entry: (entry.issuer, entry.serial_number))))
    flags = encoding.element(0x81, b"\xff") + encoding.element(0x84, b"\xff")  # users' only, indirect
    extensions = _encode_extensions(key, _encode_point([scope.name], flags), number, base)
    return _sign(key, this_update, next_update, listed, extensions)


def encode_authority_crl(
    key: StatusKey,
    *,
    number: int,
    base: int | None,
    this_update: int,
    next_update: int,
    entries: Iterable[CrlEntry],
    addresses: Sequence[str] = (),
) -> bytes:
    """A signed list in DER of certificates of one CA, whose name the key's certificate has; with `base` a delta.

    The CA's own name on it makes it no indirect one: no certificate issuers. It is about all certificates of the CA or,
    with `addresses`, those that have one of these in their cRLDistributionPoints; then a full one says where its deltas
    are, since openssl takes none otherwise (RFC 5280 §5.2.6).
    """
    listed = b"".join(_encode_entry(entry) for entry in sorted(entries, key=lambda entry: entry.serial_number))
    point = _encode_point(addresses) if addresses else b""
    freshest = () if base is not None else tuple(f"{address}?base={number}" for address in addresses)
    return _sign(key, this_update, next_update, listed, _encode_extensions(key, point, number, base, freshest))


def _sign(key: StatusKey, this_update: int, next_update: int, listed: bytes, extensions: bytes) -> bytes:
    signed = encoding.sequence(
        encoding.integer(1),
        ECDSA_WITH_SHA256,
        key.name,
        encoding.time(this_update),
        encoding.time(next_update),
        encoding.sequence(listed) if listed else b"",
        encoding.explicit(0, extensions),
    )
    return encoding.sequence(signed, ECDSA_WITH_SHA256, encoding.bit_string(key.sign(signed)))


def _encode_entries(entries: Sequence[CrlEntry]) -> Iterable[bytes]:
    """An entry without an issuer has that of the entry before. Source: RFC 5280 §5.3.3."""
    for issuer, group in groupby(entries, key=lambda entry: entry.issuer):
        name = encoding.extension(_CERTIFICATE_ISSUER, encoding.sequence(encoding.explicit(4, issuer)), critical=True)
        for entry in group:
            yield _encode_entry(entry, name)
            name = b""


def _encode_entry(entry: CrlEntry, name: bytes = b"") -> bytes:
    extensions = _encode_reason(entry.reason) + name
    return encoding.sequence(
        encoding.integer(entry.serial_number),
        encoding.time(entry.since),
        encoding.sequence(extensions) if extensions else b"",
    )


@lru_cache
def _encode_reason(reason: int) -> bytes:
    if reason == _UNSPECIFIED:  # which is said by saying nothing (RFC 5280 §5.3.1)
        return b""
    return encoding.extension(_REASON_CODE, encoding.enumerated(reason))


def _encode_point(names: Sequence[str], flags: bytes = b"") -> bytes:
    """IssuingDistributionPoint or, without flags, DistributionPoint. Source: RFC 5280 §5.2.5, §4.2.1.13."""
    full_name = encoding.explicit(0, *(encoding.element(0x86, name.encode()) for name in names))
    return encoding.sequence(encoding.explicit(0, full_name), flags)


def _encode_extensions(
    key: StatusKey, point: bytes, number: int, base: int | None, freshest: Sequence[str] = ()
) -> bytes:
    """crlExtensions; without an issuing distribution point the list is about everything that its issuer issued."""
    identifier = encoding.sequence(encoding.element(0x80, key.key_identifier))
    parts = [
        encoding.extension(_AUTHORITY_KEY_IDENTIFIER, identifier),
        encoding.extension(_CRL_NUMBER, encoding.integer(number)),
    ]
    if base is not None:
        parts.append(encoding.extension(_DELTA_CRL_INDICATOR, encoding.integer(base), critical=True))
    if point:
        parts.append(encoding.extension(_ISSUING_DISTRIBUTION_POINT, point, critical=True))
    if freshest:
        parts.append(encoding.extension(_FRESHEST_CRL, encoding.sequence(_encode_point(freshest))))
    return encoding.sequence(*parts)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list that was read and whose signature is good. `base` is None for a full one."""

    scope: str
    number: int
    base: int | None
    this_update: int
    next_update: int
    entries: dict[tuple[bytes, int], tuple[int, int]]

    def find(self, issuer: bytes, serial_number: int) -> tuple[int, int] | None:
        """Reason and time of a certificate that is on the list, else None."""
        return self.entries.get((issuer, serial_number))

    def with_delta(self, delta: RevocationList) -> RevocationList:
        """This full list, brought up to date. Raises `CrlError` when the delta is not one to it."""
        if delta.base is None or self.base is not None:
            raise CrlError("A delta is added to a full list. Give a full list and a delta list.")
        if delta.scope != self.scope or not delta.base <= self.number <= delta.number:
            raise CrlError(
                f"The delta {delta.scope} from {delta.base} to {delta.number} does not fit the list"
                f" {self.scope} of number {self.number}. Fetch a full list."
            )
        entries = {**self.entries, **delta.entries}
        left = {place: entry for place, entry in entries.items() if entry[0] != REMOVE_FROM_CRL}
        return replace(delta, base=None, entries=left)


def load_revocation_list(content: bytes, signers: Sequence[x509.Certificate]) -> RevocationList:
    """Read a list that one of these signed. Raises `CrlError`."""
    try:
        read = x509.load_der_x509_crl(content)
        _verify(read, signers)
        point = read.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
        number = read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        if read.next_update_utc is None or not point.full_name or not point.indirect_crl:
            raise CrlError("The list has no next update or is no indirect list. Fetch it from a gateway.")
        return RevocationList(
            scope=str(point.full_name[0].value),
            number=number,
            base=_base(read),
            this_update=int(read.last_update_utc.timestamp()),
            next_update=int(read.next_update_utc.timestamp()),
            entries=_read_entries(read),
        )
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise CrlError(f"This is no revocation list of a gateway: {error}. Fetch it again.") from error


def _verify(read: x509.CertificateRevocationList, signers: Sequence[x509.Certificate]) -> None:
    """Names do not prove anything: the key that signed must be one that is known."""
    algorithm = read.signature_hash_algorithm
    for signer in signers:
        key = signer.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or algorithm is None or signer.subject != read.issuer:
            continue
        try:
            key.verify(read.signature, read.tbs_certlist_bytes, ec.ECDSA(algorithm))
        except InvalidSignature:
            continue
        return
    raise CrlError("The list is signed by nobody who is known. Check the file of signers.")


def _base(read: x509.CertificateRevocationList) -> int | None:
    try:
        return read.extensions.get_extension_for_class(x509.DeltaCRLIndicator).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _read_entries(read: x509.CertificateRevocationList) -> dict[tuple[bytes, int], tuple[int, int]]:
    entries: dict[tuple[bytes, int], tuple[int, int]] = {}
    issuer = read.issuer.public_bytes()
    for entry in read:
        reason = _UNSPECIFIED
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CertificateIssuer):
                (name,) = extension.value.get_values_for_type(x509.DirectoryName)
                issuer = name.public_bytes()
            elif isinstance(extension.value, x509.CRLReason):
                reason = _REASONS[extension.value.reason]
            elif extension.critical:
                raise CrlError("An entry has a critical extension that is not known. Use a later version.")
        entries[issuer, entry.serial_number] = (reason, int(entry.revocation_date_utc.timestamp()))
    return entries


_REASONS: Final = {
    x509.ReasonFlags.unspecified: 0,
    x509.ReasonFlags.key_compromise: 1,
    x509.ReasonFlags.ca_compromise: 2,
    x509.ReasonFlags.affiliation_changed: 3,
    x509.ReasonFlags.superseded: 4,
    x509.ReasonFlags.cessation_of_operation: 5,
    x509.ReasonFlags.certificate_hold: CERTIFICATE_HOLD,
    x509.ReasonFlags.remove_from_crl: REMOVE_FROM_CRL,
    x509.ReasonFlags.privilege_withdrawn: 9,
    x509.ReasonFlags.aa_compromise: 10,
}
