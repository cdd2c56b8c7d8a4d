"""ID Tokens and signed UserInfo: made with joserfc, the algorithm always ours. Source: OIDC Core §2, §5.3.2."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from identity_oidc import base64url
from identity_oidc.clients import Client
from identity_oidc.errors import KeyTokenError
from identity_oidc.tokens.codes import Family
from identity_oidc.tokens.key_ring import ALGORITHMS, KeyRing
from tally_service.key_token import TokenError


def make_id_token(  # noqa: PLR0917  what a token says
    keys: KeyRing,
    issuer: str,
    client: Client,
    family: Family,
    access_token: str,
    released: Mapping[str, Any],
    now: int,
    lifetime_s: int,
) -> str:
    """An ID Token for this app. `auth_time` is rounded down to the minute, `sid` is the app's own."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": family.sub,
        "aud": client.client_id,
        "iat": now,
        "exp": now + lifetime_s,
        "auth_time": family.auth_time,
        "acr": family.acr,
        "amr": ["sc", "pin"],
        "sid": family.sid,
        "at_hash": base64url.encode(sha256(access_token.encode("ascii")).digest()[:16]),
    }
    if family.nonce:
        claims["nonce"] = family.nonce
    return sign(keys, client.id_token_signed_response_alg, "JWT", dict(released) | claims)


def sign(keys: KeyRing, algorithm: str, typ: str, claims: Mapping[str, Any]) -> str:
    """A compact JWS by the key that signs now. Raises `ConfigurationError` without one, `KeyTokenError`."""
    signing = keys.signing_key(algorithm)
    header = {"alg": algorithm, "kid": signing.entry.kid, "typ": typ}
    try:
        return jwt.encode(header, dict(claims), signing.key, algorithms=[algorithm])
    except TokenError as error:
        raise KeyTokenError("The provider cannot sign now. Try again later.", detail=error.message) from error


def read_own_id_token(keys: KeyRing, issuer: str, text: str) -> dict[str, Any] | None:
    """Claims of an ID Token that we signed, expired or not; None for anything else. For hints only."""
    published = KeySet([key.key for key in keys.published()])
    try:
        token = jwt.decode(text, published, algorithms=list(ALGORITHMS))
    except (JoseError, ValueError, TypeError):
        return None
    if token.claims.get("iss") != issuer or token.header.get("typ") != "JWT":
        return None
    return dict(token.claims)
