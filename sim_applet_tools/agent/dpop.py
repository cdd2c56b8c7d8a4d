"""Proofs that a call comes from the holder of the agent's key. Source: RFC 9449 §4.2."""

from __future__ import annotations

import json
import secrets
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec

from sim_applet_tools.agent.base64url import encode_base64url
from sim_applet_tools.agent.jws import public_jwk, sign_compact, software_signer


def dpop_proof(
    key: ec.EllipticCurvePrivateKey, method: str, url: str, *, now: int, token: str | None, nonce: str | None
) -> str:
    """A fresh proof for one call; `url` without query and fragment."""
    claims: dict[str, str | int] = {"jti": secrets.token_urlsafe(16), "htm": method, "htu": url, "iat": now}
    if token is not None:
        claims["ath"] = encode_base64url(sha256(token.encode("ascii")).digest())
    if nonce is not None:
        claims["nonce"] = nonce
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(key.public_key())}
    return sign_compact(header, json.dumps(claims, separators=(",", ":")).encode(), software_signer(key))
