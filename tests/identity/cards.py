"""Cards' keys for tests, and what they sign: possession proofs as docs/identity.md says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HEADER = {"alg": "ES256", "typ": "tally-possession+jws"}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class TestCard:
    """A key, and its holder's signature over what is asked."""

    __test__ = False

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        self.x, self.y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)

    @property
    def jwk(self) -> dict[str, str]:
        return {"kty": "EC", "crv": "P-256", "x": base64url(self.x), "y": base64url(self.y)}

    def sign(self, digest: bytes, *, header: dict[str, str] | None = None, twin: bool = False) -> str:
        """A compact JWS over a digest; with `twin` by the other signature that is as good."""
        text = f"{base64url(json.dumps(header or HEADER, separators=(',', ':')).encode())}.{base64url(digest)}"
        return f"{text}.{self.sign_text(text.encode(), twin=twin)}"

    def sign_text(self, text: bytes, *, twin: bool = False) -> str:
        """r and s in base64url, as `tally sim sign` prints them."""
        r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(hashes.SHA256())))
        s = ORDER - s if twin else s
        return base64url(r.to_bytes(32) + s.to_bytes(32))

    def sign_claims(self, header: dict[str, str], claims: dict[str, Any]) -> str:
        """A compact JWS over claims, as a personaliser's attestation has it."""
        parts = (json.dumps(each, separators=(",", ":"), sort_keys=True).encode() for each in (header, claims))
        text = ".".join(base64url(part) for part in parts)
        return f"{text}.{self.sign_text(text.encode())}"


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
