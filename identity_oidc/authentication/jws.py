"""Compact JWS by P-256 keys, strictly: what cards, agents and members sign. Source: RFC 7515, RFC 7518 §3.4.

Signatures are verified by `cryptography`; the algorithm is never taken from the text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from identity_oidc import base64url

MAX_CHARS: Final = 4_096
_SIGNATURE_BYTES: Final = 64
_KEYS_KEPT: Final = 4_096
_JWK_MEMBERS: Final = frozenset({"kty", "crv", "x", "y"})


class MalformedJwsError(ValueError):
    """Not of the form; the text says how, without repeating content."""


@dataclass(frozen=True, slots=True)
class CompactJws:
    """Three parts, decoded; nothing is verified yet."""

    header: bytes
    payload: bytes
    signature: bytes
    signing_input: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `MalformedJwsError`."""
        parts = text.split(".") if len(text) <= MAX_CHARS and text.isascii() else []
        if len(parts) != 3:
            raise MalformedJwsError("not a compact JWS of three parts")
        try:
            header, payload, signature = (base64url.parse(part) for part in parts)
        except ValueError as error:
            raise MalformedJwsError("a part is not base64url without padding") from error
        if len(signature) != _SIGNATURE_BYTES:
            raise MalformedJwsError("the signature is not r and s of 32 bytes each")
        return cls(header, payload, signature, text.rpartition(".")[0].encode("ascii"))

    def is_signed_by(self, public_key: bytes) -> bool:
        """Whether the signature is ES256 under x and y (64 bytes); a signature and its twin both are."""
        try:
            r, s = int.from_bytes(self.signature[:32], "big"), int.from_bytes(self.signature[32:], "big")
            _public_key(public_key).verify(encode_dss_signature(r, s), self.signing_input, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_json(content: bytes) -> dict[str, Any]:
    """An object without repeated members, fractions and halves of characters. Raises `MalformedJwsError`."""
    try:
        found = json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique, parse_float=_refused, parse_constant=_refused
        )
        if b"\\u" in content:
            json.dumps(found, ensure_ascii=False).encode("utf-8")  # a lone surrogate is no text that can be kept
    except (ValueError, RecursionError) as error:
        raise MalformedJwsError("not JSON of the form asked for") from error
    if not isinstance(found, dict):
        raise MalformedJwsError("not a JSON object")
    return found


def parse_public_jwk(jwk: object) -> bytes:
    """x and y (64 bytes) of a public P-256 key with exactly these members. Raises `MalformedJwsError`."""
    if not isinstance(jwk, dict) or set(jwk) != _JWK_MEMBERS or (jwk["kty"], jwk["crv"]) != ("EC", "P-256"):
        raise MalformedJwsError("not a public P-256 key with the members kty, crv, x, y")
    try:
        point = b"".join(base64url.parse(jwk[name]) for name in ("x", "y"))
        require(len(point) == 64, "coordinates of another length")
        _public_key(point)
    except (ValueError, TypeError, AttributeError) as error:
        raise MalformedJwsError("not a point of P-256") from error
    return point


@lru_cache(maxsize=_KEYS_KEPT)
def _public_key(point: bytes) -> ec.EllipticCurvePublicKey:
    """Raises `ValueError` for what is no point of P-256, each time anew."""
    x, y = int.from_bytes(point[:32], "big"), int.from_bytes(point[32:], "big")
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638 thumbprint of a P-256 key."""
    canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64url.encode(sha256(canonical.encode("ascii")).digest())


def require(condition: bool, why: str) -> None:
    """Raises `MalformedJwsError` unless the condition holds."""
    if not condition:
        raise MalformedJwsError(why)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def _refused(_: str) -> Any:
    raise ValueError("not a whole number")
