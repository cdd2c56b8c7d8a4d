"""Compact JWS with ES256, in the few forms that meet here. Source: RFC 7515 §7.1, RFC 7518 §3.4, RFC 7638.

The card's own texts are put together by hand, since their first 36 bytes are what the card looks at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from sim_applet_tools.agent.base64url import decode_base64url, encode_base64url
from sim_applet_tools.errors import InputError

SIGNATURE_BYTES = 64
Sign = Callable[[bytes], bytes]
"""Text to r and s, 32 bytes each, over its SHA-256."""


@dataclass(frozen=True, slots=True)
class Jws:
    """A compact JWS taken apart; nothing is verified yet."""

    header: bytes
    payload: bytes
    signature: bytes
    signing_input: bytes


def parse_jws(text: str, max_chars: int) -> Jws:
    """Three parts of base64url with a signature of 64 bytes; an `InputError` else."""
    parts = text.split(".")
    if len(text) > max_chars or len(parts) != 3:
        raise InputError("this is no compact JWS of the length allowed")
    try:
        header, payload, signature = (decode_base64url(part) for part in parts)
    except (ValueError, UnicodeEncodeError) as error:
        raise InputError("this is no compact JWS: a part is no base64url") from error
    if len(signature) != SIGNATURE_BYTES:
        raise InputError(f"the signature of this JWS has {len(signature)} bytes, not {SIGNATURE_BYTES}")
    return Jws(header, payload, signature, text.rpartition(".")[0].encode("ascii"))


def signing_input(header: str, payload: bytes) -> bytes:
    """`header` is signed as it is written, so that its bytes are known beforehand."""
    return f"{encode_base64url(header.encode())}.{encode_base64url(payload)}".encode("ascii")


def sign_compact(header: Mapping[str, Any], payload: bytes, sign: Sign) -> str:
    text = signing_input(json.dumps(header, separators=(",", ":")), payload)
    return f"{text.decode('ascii')}.{encode_base64url(sign(text))}"


def software_signer(key: ec.EllipticCurvePrivateKey) -> Sign:
    """Signs with a key held in memory."""

    def sign(text: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def is_signed_by(jws: Jws, key: ec.EllipticCurvePublicKey) -> bool:
    r, s = int.from_bytes(jws.signature[:32], "big"), int.from_bytes(jws.signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), jws.signing_input, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def public_jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """`crv`, `kty`, `x`, `y`. Source: RFC 7518 §6.2.1."""
    numbers = key.public_numbers()
    x, y = (encode_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def parse_jwk(x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    """The key with these coordinates of 32 bytes; an `InputError` where they are no point of P-256."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    except ValueError as error:
        raise InputError("a key is no point of P-256: ask its owner for the right one") from error


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """Source: RFC 7638 §3; the members of `public_jwk` stand in its order."""
    return encode_base64url(sha256(json.dumps(public_jwk(key), separators=(",", ":")).encode()).digest())
