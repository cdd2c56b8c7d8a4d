"""The compact JWS by which a card proves that it holds a key. Source: docs/identity.md, RFC 7515 §3.1.

The contract computes the JWS text from the digest and verifies; this is the same check, before anything is sent.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pki_chain.errors import InputError
from pki_chain.ports import CardProof

HEADER: Final = base64.urlsafe_b64encode(b'{"alg":"ES256","typ":"tally-possession+jws"}').rstrip(b"=").decode()
"""The whole header, 59 characters: no other form of the same JSON is taken, as the contract knows this one only."""

_JWS: Final = re.compile(r"([A-Za-z0-9_-]{59})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{86})")
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class Possession:
    """A parsed proof: the possession digest that the card signed, and its signature; 32 bytes each."""

    digest: bytes
    r: bytes
    s: bytes

    def proof(self, deadline: int) -> CardProof:
        """The signature as the contract takes it."""
        return CardProof(deadline, self.r, self.s)


def parse_possession(jws: str) -> Possession:
    """Read a proof. Raises `InputError`, also for one of another type, such as an approval."""
    match = _JWS.fullmatch(jws)
    if match is None or match[1] != HEADER:
        raise InputError("the proof is no compact JWS of type tally-possession+jws: have the card sign again")
    digest, signature = parse_base64url(match[2]), parse_base64url(match[3])
    if digest is None or signature is None:
        raise InputError("the proof is not canonical base64url: have the card sign again")
    r, s = signature[:32], signature[32:]
    if not all(0 < int.from_bytes(each) < _ORDER for each in (r, s)):
        raise InputError("the proof's signature is out of range: have the card sign again")
    return Possession(digest, r, s)


def signing_input(digest: bytes) -> bytes:
    """The 103 bytes that a card signs for a possession digest."""
    return f"{HEADER}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}".encode()


def verify_possession(possession: Possession, digest: bytes, x: bytes, y: bytes) -> None:
    """Return where the proof is one of this digest by this key. Raises `InputError`."""
    if possession.digest != digest:
        raise InputError(
            "the proof is for something else: another operator, registry, chain, purpose, identity, key or deadline"
        )
    signature = encode_dss_signature(int.from_bytes(possession.r), int.from_bytes(possession.s))
    try:
        public_key(x, y).verify(signature, signing_input(digest), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise InputError("the proof's signature is not by the key beside it") from error


def public_key(x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 key with these coordinates. Raises `InputError`."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    except ValueError as error:
        raise InputError("the key is not a point of P-256") from error


def parse_base64url(text: str) -> bytes | None:
    """The octets of canonical base64url without padding (RFC 7515 §2); None for anything else."""
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if base64.urlsafe_b64encode(value).rstrip(b"=").decode() == text else None
