"""Reads an OCSP request: strictly, within bounds, several certificates in one.

A signature on the request is read over: whoever may ask need not say who he is. Source: RFC 6960 §4.1; RFC 9654 §2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pki_chain.errors import InputError
from pki_chain.x509.der import (
    BOOLEAN,
    NULL,
    OCTET_STRING,
    SEQUENCE,
    DerError,
    DerReader,
    read_integer,
    read_object_identifier,
    read_whole,
)

SHA1: Final = bytes.fromhex("2b0e03021a")
SHA256: Final = bytes.fromhex("608648016503040201")
DIGEST_BYTES: Final = {SHA1: 20, SHA256: 32}
"""Hash algorithms of a CertID that are understood, and the size of their values."""

NONCE: Final = bytes.fromhex("2b0601050507300102")
"""id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2."""

MAX_REQUESTS: Final = 32
MAX_NONCE_BYTES: Final = 128
MAX_SERIAL_BYTES: Final = 21
_MAX_EXTENSIONS: Final = 16
_VERSION, _REQUESTOR, _EXTENSIONS, _SIGNATURE = 0xA0, 0xA1, 0xA2, 0xA0


class OcspRequestError(InputError):
    """The octets are no OCSP request that can be answered: `malformedRequest`. The text says what is wrong."""

    code = "malformed-ocsp-request"


@dataclass(frozen=True, slots=True)
class CertId:
    """Which certificate is asked about. `encoded` is the TLV, which the answer repeats.

    `name_hash` and `key_hash` are of the issuer's name and key bits; `algorithm` is the identifier's content octets.
    `serial` is lower-case hexadecimal, "" for a number that no certificate can have.
    """

    encoded: bytes
    algorithm: bytes
    name_hash: bytes
    key_hash: bytes
    serial: str

    @property
    def is_understood(self) -> bool:
        """Whether the hashes are of a kind that is known, and of its size."""
        size = DIGEST_BYTES.get(self.algorithm)
        return len(self.name_hash) == size and len(self.key_hash) == size and bool(self.serial)


@dataclass(frozen=True, slots=True)
class OcspRequest:
    """A request; `nonce` is the octets within extnValue's OCTET STRING, None without one."""

    certificates: tuple[CertId, ...]
    nonce: bytes | None


def parse_ocsp_request(content: bytes) -> OcspRequest:
    """Read a request. Raises `OcspRequestError`."""
    try:
        return _read_request(content)
    except DerError as error:
        raise OcspRequestError(f"This is no OCSP request: {error}. Send RFC 6960's OCSPRequest in DER.") from error


def _read_request(content: bytes) -> OcspRequest:
    outer = DerReader(read_whole(content, SEQUENCE).content)
    reader = DerReader(outer.read(SEQUENCE).content)
    if outer.is_next(_SIGNATURE):
        outer.read(_SIGNATURE)
    outer.finish()
    # 1. version and name of who asks
    if reader.is_next(_VERSION):
        raise DerError("version is v1, which is the default and not written, or one that is not known")
    if reader.is_next(_REQUESTOR):
        reader.read(_REQUESTOR)
    # 2. certificates
    entries = DerReader(reader.read(SEQUENCE).content)
    certificates: list[CertId] = []
    while not entries.is_at_end:
        if len(certificates) == MAX_REQUESTS:
            raise DerError(f"more than {MAX_REQUESTS} certificates in one request")
        certificates.append(_read_entry(DerReader(entries.read(SEQUENCE).content)))
    if not certificates:
        raise DerError("it asks about no certificate")
    # 3. extensions
    nonce = None
    if reader.is_next(_EXTENSIONS):
        nonce = _read_extensions(reader.read(_EXTENSIONS).content)
    reader.finish()
    return OcspRequest(tuple(certificates), nonce)


def _read_entry(reader: DerReader) -> CertId:
    encoded = reader.read(SEQUENCE)
    if reader.is_next(_VERSION):  # singleRequestExtensions have the same tag
        _read_extensions(reader.read(_VERSION).content)
    reader.finish()
    fields = DerReader(encoded.content)
    algorithm = DerReader(fields.read(SEQUENCE).content)
    identifier = read_object_identifier(algorithm)
    if algorithm.is_next(NULL) and algorithm.read(NULL).content:
        raise DerError("NULL with content")
    algorithm.finish()
    name_hash, key_hash = fields.read(OCTET_STRING).content, fields.read(OCTET_STRING).content
    serial = read_integer(fields).content
    fields.finish()
    if len(serial) > MAX_SERIAL_BYTES:
        raise DerError(f"serial number of more than {MAX_SERIAL_BYTES} octets")
    number = int.from_bytes(serial, signed=True)
    return CertId(encoded.encoded, identifier, name_hash, key_hash, format(number, "x") if number > 0 else "")


def _read_extensions(content: bytes) -> bytes | None:
    """The nonce, where there is one. A critical extension that is not known is an error. Source: RFC 6960 §4.4."""
    reader = DerReader(read_whole(content, SEQUENCE).content)
    seen: set[bytes] = set()
    nonce = None
    while not reader.is_at_end:
        fields = DerReader(reader.read(SEQUENCE).content)
        identifier = read_object_identifier(fields)
        critical = fields.is_next(BOOLEAN) and _read_true(fields)
        value = fields.read(OCTET_STRING).content
        fields.finish()
        if identifier in seen or len(seen) == _MAX_EXTENSIONS:
            raise DerError("an extension comes twice, or there are too many")
        seen.add(identifier)
        if identifier == NONCE:
            nonce = _read_nonce(value)
        elif critical:
            raise DerError("a critical extension that is not known")
    if not seen:
        raise DerError("extensions without any")
    return nonce


def _read_true(reader: DerReader) -> bool:
    if reader.read(BOOLEAN).content != b"\xff":
        raise DerError("BOOLEAN is not TRUE as DER has it")
    return True


def _read_nonce(value: bytes) -> bytes:
    nonce = read_whole(value, OCTET_STRING).content
    if not 1 <= len(nonce) <= MAX_NONCE_BYTES:
        raise DerError(f"nonce of {len(nonce)} octets where 1 to {MAX_NONCE_BYTES} belong")
    return nonce
