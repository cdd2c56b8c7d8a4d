"""OCSP requests: what strangers write is read, and nothing that is not one."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from pki_chain.status import encoding
from pki_chain.status.ocsp_request import MAX_REQUESTS, NONCE, OcspRequestError, parse_ocsp_request
from pki_chain.x509.certificate import parse_certificate
from tests.index.recorded_ledger import certificate, certificates
from tests.relying.ocsp_requests import request

KNOWN = certificate(0)


@pytest.mark.parametrize(("algorithm", "size"), [("sha1", 20), ("sha256", 32)])
def test_a_request_that_pyasn1_wrote(algorithm: str, size: int) -> None:
    read = parse_ocsp_request(request([KNOWN], algorithm, nonce=b"n" * 16))
    (asked,) = read.certificates
    assert read.nonce == b"n" * 16
    assert asked.name_hash == hashlib.new(algorithm, parse_certificate(KNOWN).issuer).digest()
    assert (len(asked.key_hash), asked.serial, asked.is_understood) == (size, "1", True)


@pytest.mark.parametrize("hash_algorithm", [hashes.SHA1(), hashes.SHA256()])  # noqa: S303 - what clients send
def test_a_request_that_cryptography_wrote(hash_algorithm: hashes.HashAlgorithm) -> None:
    loaded = x509.load_der_x509_certificate(KNOWN)
    nonce = x509.OCSPNonce(b"0123456789abcdef")
    built = ocsp.OCSPRequestBuilder().add_certificate(loaded, loaded, hash_algorithm).add_extension(nonce, False)  # noqa: FBT003
    der = built.build().public_bytes(Encoding.DER)
    read = parse_ocsp_request(der)
    assert (read.nonce, read.certificates[0].serial) == (nonce.nonce, "1")


def test_several_in_one_up_to_the_bound() -> None:
    several = [certificate(number % 3) for number in range(MAX_REQUESTS)]
    assert len(parse_ocsp_request(request(several)).certificates) == MAX_REQUESTS
    with pytest.raises(OcspRequestError, match="more than"):
        parse_ocsp_request(request([*several, KNOWN]))


def test_another_hash_is_read_and_not_understood() -> None:
    assert not parse_ocsp_request(request([KNOWN], "sha512")).certificates[0].is_understood


@pytest.mark.parametrize("size", [1, 16, 32, 128])
def test_nonces_within_the_bounds(size: int) -> None:
    assert parse_ocsp_request(request([KNOWN], nonce=b"\x01" * size)).nonce == b"\x01" * size


GOOD = request(certificates(2), nonce=b"n" * 16)


def with_extension(value: bytes) -> bytes:
    """A request whose extensions are these octets."""
    one = encoding.sequence(parse_ocsp_request(request([KNOWN])).certificates[0].encoded)
    return encoding.sequence(encoding.sequence(encoding.sequence(one), encoding.explicit(2, value)))


NONCE_EXTENSION = encoding.extension(NONCE, encoding.octet_string(b"n" * 16))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "element cut short"),
        (GOOD[:-1], "cut short"),
        (GOOD[:40], "cut short"),
        (GOOD + b"\0", "something follows"),
        (b"\x31" + GOOD[1:], "tag 0x31 where 0x30 belongs"),
        (b"0\x83\x10\x00\x00" + bytes(1 << 20), "more than two octets"),
        (request([]), "no certificate"),
        (request([KNOWN], nonce=b""), "nonce of 0 octets"),
        (request([KNOWN], nonce=b"n" * 129), "nonce of 129 octets"),
        (with_extension(encoding.sequence()), "extensions without any"),
        (with_extension(encoding.sequence(NONCE_EXTENSION, NONCE_EXTENSION)), "twice"),
        (with_extension(encoding.sequence(encoding.extension(b"\x2a\x03", b"", critical=True))), "critical"),
        (with_extension(encoding.sequence(encoding.extension(NONCE, b"n" * 16))), "cut short|where 0x04"),
        (encoding.sequence(encoding.sequence(encoding.explicit(0, encoding.integer(1)))), "version"),
    ],
)
def test_what_is_no_request_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(OcspRequestError, match=reason):
        parse_ocsp_request(content)


def test_an_extension_that_is_not_critical_is_read_over() -> None:
    extensions = encoding.sequence(encoding.extension(b"\x2a\x03", b"\x05\x00"), NONCE_EXTENSION)
    assert parse_ocsp_request(with_extension(extensions)).nonce == b"n" * 16


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_bent_octet_is_read_or_refused(place: int, difference: int) -> None:
    bent = bytearray(GOOD)
    bent[place] ^= difference
    try:
        parse_ocsp_request(bytes(bent))
    except OcspRequestError:
        return


@given(st.binary(max_size=300))
def test_anything_is_read_or_refused(content: bytes) -> None:
    try:
        parse_ocsp_request(content)
    except OcspRequestError:
        return
