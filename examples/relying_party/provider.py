"""The app's side of OpenID Connect: where the browser is sent, and what the app's own server asks the provider.

Everything the app believes comes through `redeem`: its server gives the code, its secret and the PKCE verifier to the
provider, and learns who logged in from the provider itself. Source: OpenID Connect Core 1.0 §3.1, RFC 7636, RFC 9207.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlencode

import requests

from examples.relying_party.verification import NotTrustedError, ProviderKeys, Verifier

_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login that was begun: kept on the app's side, for one browser, used once."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def code_challenge(self) -> str:
        return urlsafe_b64encode(sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Login:
    """Who logged in (`sub`: this app's own name for the person, `sid`: this login), and the data that was granted."""

    sub: str
    sid: str
    id_token: str
    data: Mapping[str, Any]


class OpenIdProvider:
    """One provider, found by its issuer; `secret` is None for an app that can keep none (a native app)."""

    def __init__(
        self, issuer: str, client_id: str, secret: str | None, redirect_uri: str, ca_file: str | None = None
    ) -> None:
        """Raises `NotTrustedError` where the metadata is another issuer's, `requests.RequestException`."""
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = ca_file or True
        answer = self._http.get(f"{issuer}/.well-known/openid-configuration", timeout=_TIMEOUT_S, allow_redirects=False)
        answer.raise_for_status()
        self._metadata = answer.json()
        if self._metadata["issuer"] != issuer:
            raise NotTrustedError("the metadata is another provider's")
        self._issuer = issuer
        self._client_id = client_id
        self._secret = secret
        self._redirect_uri = redirect_uri
        self.verifier = Verifier(issuer, client_id, ProviderKeys(self._metadata["jwks_uri"], self._http))

    def close(self) -> None:
        self._http.close()

    def login_address(self, attempt: Attempt, scope: str, language: str = "en") -> str:
        """Where the browser begins the login."""
        parameters = {
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "response_type": "code",
            "scope": scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.code_challenge,
            "code_challenge_method": "S256",
            "ui_locales": language,
        }
        return f"{self._metadata['authorization_endpoint']}?{urlencode(parameters)}"

    def logout_address(self, id_token: str, back: str, state: str) -> str:
        """Where the browser is sent to log out at the provider too."""
        values = {"id_token_hint": id_token, "post_logout_redirect_uri": back, "state": state}
        return f"{self._metadata['end_session_endpoint']}?{urlencode(values)}"

    def redeem(self, attempt: Attempt, answer: Mapping[str, str]) -> Login:
        """Who logged in, from the parameters that the browser brought back. Raises `NotTrustedError`.

        Of `answer`, only `code` is used, and `state` and `iss` compared; whatever else it says is not believed.
        """
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise NotTrustedError("the answer belongs to no login that was begun here")
        if answer.get("iss") != self._issuer:
            raise NotTrustedError("the answer comes from another provider")
        if "error" in answer or "code" not in answer:
            raise NotTrustedError("the person did not log in")
        tokens = self._token(answer["code"], attempt.verifier)
        claims = self.verifier.id_token(tokens["id_token"], nonce=attempt.nonce, access_token=tokens["access_token"])
        data = self._user_information(tokens["access_token"])
        if data.pop("sub", None) != claims["sub"]:
            raise NotTrustedError("the data is about another person")
        return Login(claims["sub"], claims["sid"], tokens["id_token"], data)

    def _token(self, code: str, verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        credentials = (self._client_id, self._secret) if self._secret is not None else None
        if credentials is None:
            form["client_id"] = self._client_id
        answer = self._http.post(
            self._metadata["token_endpoint"], form, auth=credentials, timeout=_TIMEOUT_S, allow_redirects=False
        )
        if answer.status_code != 200:
            raise NotTrustedError("the provider does not take the code")
        found: dict[str, Any] = answer.json()
        return found

    def _user_information(self, access_token: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}"}
        address = self._metadata["userinfo_endpoint"]
        answer = self._http.get(address, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False)
        if answer.status_code != 200:
            raise NotTrustedError("the provider gives no data")
        found: dict[str, Any] = answer.json()
        return found
