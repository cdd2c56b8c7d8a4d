"""What an app must check of every token, with python-jose. Each check here closes a known way into somebody's account.

python-jose accepts what it is not told to refuse: a missing `exp`, an algorithm of the attacker's choice. So the
algorithm is fixed, the key is the provider's JWK (never a PEM or DER text, which would pass as an HMAC secret), and
every claim is required. Source: OpenID Connect Core 1.0 §3.1.3.7, Back-Channel Logout 1.0 §2.6, RFC 8725.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import requests
from jose import JWTError, jwt

ALGORITHM: Final = "ES256"
CLOCK_SKEW_S: Final = 30
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_FETCH_AGAIN_S: Final = 10.0
_TIMEOUT_S: Final = 10.0
_MAX_TOKEN_CHARS: Final = 16_384


class NotTrustedError(Exception):
    """A token or an answer that must not be believed; the text says what is wrong with it."""


class ProviderKeys:
    """The provider's public keys, fetched from the address that discovery names, and again for a key that is new."""

    def __init__(self, jwks_uri: str, http: requests.Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._jwks_uri = jwks_uri
        self._http = http
        self._clock = clock
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched_at = float("-inf")

    def find(self, kid: object) -> dict[str, Any]:
        """The key. Raises `NotTrustedError`; strangers' key ids cause a fetch every ten seconds at most."""
        if not isinstance(kid, str):
            raise NotTrustedError("the token names no key")
        if kid not in self._keys and self._clock() - self._fetched_at >= _FETCH_AGAIN_S:
            self._fetched_at = self._clock()
            answer = self._http.get(self._jwks_uri, timeout=_TIMEOUT_S, allow_redirects=False)
            if answer.status_code != 200:
                raise NotTrustedError("the provider does not give its keys")
            found = answer.json()["keys"]
            self._keys = {key["kid"]: key for key in found if (key.get("kty"), key.get("crv")) == ("EC", "P-256")}
        if kid not in self._keys:
            raise NotTrustedError("the token is signed by a key that is not the provider's")
        return self._keys[kid]


class Verifier:
    """Tokens of one provider for one app."""

    def __init__(self, issuer: str, client_id: str, keys: ProviderKeys) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._keys = keys

    def id_token(self, text: str, *, nonce: str, access_token: str) -> dict[str, Any]:
        """The claims of the ID Token that belongs to this login. Raises `NotTrustedError`."""
        claims = self._verified(text, "JWT", ("sub", "at_hash"), access_token)
        if claims.get("nonce") != nonce:
            raise NotTrustedError("the token belongs to another login: its nonce is not ours")
        return claims

    def logout_token(self, text: str) -> dict[str, Any]:
        """The claims of a logout token; the caller takes each `jti` once. Raises `NotTrustedError`."""
        claims = self._verified(text, "logout+jwt", ("jti",), None)
        events = claims.get("events")
        if not isinstance(events, Mapping) or events.get(LOGOUT_EVENT) != {}:
            raise NotTrustedError("the token is about no logout")
        if "nonce" in claims or not (claims.get("sub") or claims.get("sid")):
            raise NotTrustedError("the token is no logout token")
        return claims

    def _verified(self, text: str, typ: str, required: tuple[str, ...], access_token: str | None) -> dict[str, Any]:
        if len(text) > _MAX_TOKEN_CHARS:
            raise NotTrustedError("the token is too long")
        options = {f"require_{name}": True for name in ("iss", "aud", "exp", "iat", *required)}
        try:
            header = jwt.get_unverified_header(text)
            # One kind of token must not pass for another; jku, x5u and jwk in a header are never looked at.
            if (header.get("alg"), header.get("typ")) != (ALGORITHM, typ):
                raise NotTrustedError(f"the token is no {typ} signed by {ALGORITHM}")
            claims: dict[str, Any] = jwt.decode(
                text,
                self._keys.find(header.get("kid")),
                algorithms=[ALGORITHM],
                audience=self._client_id,
                issuer=self._issuer,
                access_token=access_token,
                options=options | {"leeway": CLOCK_SKEW_S},
            )
        except JWTError as error:
            raise NotTrustedError(f"the token is not good: {error}") from error
        if claims["aud"] not in (self._client_id, [self._client_id]):
            raise NotTrustedError("the token is for other apps too")
        if claims["iat"] > time.time() + CLOCK_SKEW_S:
            raise NotTrustedError("the token comes from the future")
        return claims
