"""OCSP responses: what a status is in OCSP's words, and the signed octets.

Source: RFC 6960 §4.2; RFC 9654. cryptography builds responses about one certificate only, so the octets are written
here, and signed there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from pki_chain.ports import Status
from pki_chain.status import encoding
from pki_chain.status.certificate_status import CertificateStatus
from pki_chain.status.ocsp_request import MAX_NONCE_BYTES, NONCE, SHA1, SHA256, CertId
from pki_chain.status.status_key import StatusKey
from pki_chain.x509.object_identifiers import ECDSA_WITH_SHA256

BASIC: Final = bytes.fromhex("2b0601050507300101")
"""id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1."""

CERT_HASH: Final = bytes.fromhex("2b2408030d")
"""CertHash, 1.3.36.8.3.13: which certificate an answer is about. Source: Common PKI 2.0, part 4, §3.1.2."""

_BASIC_TYPE: Final = encoding.object_identifier(BASIC)
_SUCCESSFUL: Final = encoding.enumerated(0)
_GOOD: Final = bytes((0x80, 0))
_UNKNOWN: Final = bytes((0x82, 0))
_REVOKED_TAG: Final = 1
_UNSPECIFIED: Final = 0


class ResponseStatus(IntEnum):
    """OCSPResponseStatus of answers without content. Source: RFC 6960 §4.2.1."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


@dataclass(frozen=True, slots=True)
class SingleResponse:
    """What is said about one certificate; times are seconds since 1970.

    `sha256` is of the DER that the ledger holds, None for an unknown one: a CertID names key, issuer and number only,
    and whoever has the key can write another certificate with the same.
    """

    certificate: CertId
    sha256: bytes | None
    status: CertificateStatus
    this_update: int
    next_update: int


def encode_failure(status: ResponseStatus) -> bytes:
    """An answer that nobody signs. Source: RFC 6960 §2.3."""
    return encoding.sequence(encoding.enumerated(status))


def encode_response(key: StatusKey, produced_at: int, responses: Sequence[bytes], nonce: bytes | None) -> bytes:
    """A signed answer of these (`encode_single`) with the signer's certificate; the nonce is repeated.

    All that stays the same for sizes and key is written once and kept: an answer then costs its signature, not DER.
    """
    data = encoding.sequence(
        _responder_id(key.key_sha1),
        encoding.generalized_time(produced_at),
        encoding.sequence(*responses),
        b"" if nonce is None else _before_nonce(len(nonce)) + nonce,
    )
    signature = key.sign(data)
    before, between, after = _around(len(data), len(signature), key.certificate)
    return b"".join((before, data, between, signature, after))


@lru_cache(maxsize=8)
def _responder_id(key_sha1: bytes) -> bytes:
    return encoding.explicit(2, encoding.octet_string(key_sha1))


@lru_cache(maxsize=MAX_NONCE_BYTES)
def _before_nonce(size: int) -> bytes:
    """responseExtensions with a nonce of this size, up to the nonce, which is their end."""
    repeated = encoding.extension(NONCE, encoding.octet_string(bytes(size)))
    return encoding.explicit(1, encoding.sequence(repeated))[:-size]


@lru_cache(maxsize=1_024)
def _around(data_bytes: int, signature_bytes: int, certificate: bytes) -> tuple[bytes, bytes, bytes]:
    """What stands before a ResponseData of this size, between it and a signature of this size, and after that."""
    signature = encoding.bit_string(bytes(signature_bytes))
    certificates = encoding.explicit(0, encoding.sequence(certificate))
    basic = encoding.sequence(bytes(data_bytes), ECDSA_WITH_SHA256, signature, certificates)
    answer = encoding.sequence(
        _SUCCESSFUL, encoding.explicit(0, encoding.sequence(_BASIC_TYPE, encoding.octet_string(basic)))
    )
    ends = len(answer) - len(certificates)
    between = ECDSA_WITH_SHA256 + signature[:-signature_bytes]
    begins = ends - signature_bytes - len(between) - data_bytes
    return answer[:begins], between, certificates


def is_about(certificate: CertId, issuer: bytes) -> bool:
    """Whether the name hash is that of this issuer (DER of the Name)."""
    if certificate.algorithm == SHA1:
        return certificate.name_hash == hashlib.sha1(issuer, usedforsecurity=False).digest()
    return certificate.name_hash == hashlib.sha256(issuer).digest()


def encode_single(response: SingleResponse) -> bytes:
    """What is said about one certificate, as it stands in an answer."""
    return encoding.sequence(
        response.certificate.encoded,
        _encode_status(response.status),
        encoding.generalized_time(response.this_update),
        encoding.explicit(0, encoding.generalized_time(response.next_update)),
        b"" if response.sha256 is None else encoding.explicit(1, encoding.sequence(_cert_hash(response.sha256))),
    )


def _cert_hash(sha256: bytes) -> bytes:
    algorithm = encoding.sequence(encoding.object_identifier(SHA256))
    return encoding.extension(CERT_HASH, encoding.sequence(algorithm, encoding.octet_string(sha256)))


def read_cert_hash(value: bytes) -> bytes:
    """The SHA-256 in a CertHash; b"" where it is of another algorithm or form."""
    prefix = encoding.sequence(encoding.sequence(encoding.object_identifier(SHA256)), encoding.octet_string(bytes(32)))
    is_ours = len(value) == len(prefix) and value[:-32] == prefix[:-32]
    return value[-32:] if is_ours else b""


def _encode_status(status: CertificateStatus) -> bytes:
    """CertStatus. Only what the ledger calls valid is good; submitted, rejected, lapsed, expired and unknown are
    unknown. Source: RFC 6960 §2.2."""
    if status.state is Status.VALID:
        return _GOOD
    if status.state in {Status.HELD, Status.REVOKED, Status.SUPERSEDED}:
        reason = b"" if status.reason == _UNSPECIFIED else encoding.explicit(0, encoding.enumerated(status.reason))
        return encoding.explicit(_REVOKED_TAG, encoding.generalized_time(status.since), reason)
    return _UNKNOWN
