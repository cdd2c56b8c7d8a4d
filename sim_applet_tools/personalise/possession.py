"""What a card signs to prove that it holds a key: the digest of a typed text of the ledger, in a JWS of fixed form.

The ledger's part of the text comes ready from the operator's batch file, so that no code of the ledger is needed here:
Keccak-256 only. Source: EIP-712, RFC 7515 §3.1, docs/identity.md.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from eth_hash.auto import keccak

from sim_applet_tools.errors import InputError
from sim_applet_tools.iot_safe.pin import POSSESSION_PREFIX

WORD_BYTES = 32
PLACES = ("identity", "x", "y")
"""Words of a template that each card fills with its own."""


@dataclass(frozen=True, slots=True)
class PossessionTemplate:
    """One purpose's text; `words` are 32 bytes each, or one of `PLACES`, each of which stands there once."""

    deadline: int
    type: str
    domain_separator: bytes
    words: tuple[bytes | str, ...]

    def require_open(self, now: int) -> None:
        """An `InputError` once the ledger takes no such proof any more; `now` in seconds since 1970."""
        if self.deadline <= now:
            raise InputError("the deadline of this batch's proofs is over: have the operator prepare a new batch")

    def digest(self, identity: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
        """32 bytes over `identity` (32 bytes) and the key's coordinates. Source: EIP-712, hashTypedData."""
        x, y = coordinates(key)
        own = {"identity": identity, "x": x, "y": y}
        words = [own[word] if isinstance(word, str) else word for word in self.words]
        if any(len(word) != WORD_BYTES for word in words):
            raise ValueError("an identity id has 32 bytes")
        return bytes(keccak(b"\x19\x01" + self.domain_separator + keccak(b"".join(words))))

    def text(self, identity: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
        """The 103 bytes that the card signs: header, dot, payload."""
        return POSSESSION_PREFIX + base64url(self.digest(identity, key)).encode()


def coordinates(key: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    """x and y, 32 bytes each."""
    numbers = key.public_numbers()
    return numbers.x.to_bytes(WORD_BYTES, "big"), numbers.y.to_bytes(WORD_BYTES, "big")


def public_key_of(x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    """Inverse of `coordinates`; a `ValueError` for a point that is not on P-256."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)


def compact_jws(text: bytes, signature: bytes) -> str:
    """`text` (header, dot, payload) and r‖s as a compact JWS."""
    return f"{text.decode()}.{base64url(signature)}"


def base64url(raw: bytes) -> str:
    """Without padding. Source: RFC 7515 §2."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def base64url_bytes(text: str) -> bytes:
    """Inverse of `base64url`, for its own form only; a `ValueError` else."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url(raw) != text:
        raise ValueError("not base64url in its only form")
    return raw
