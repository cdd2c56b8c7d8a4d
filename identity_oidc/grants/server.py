"""Authlib's server over our store: token, introspection, revocation; the authorization endpoint is our own."""

from __future__ import annotations

import secrets
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.flask_oauth2.requests import FlaskOAuth2Payload, FlaskOAuth2Request
from authlib.oauth2.rfc6749 import OAuth2Request
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, Request, request

from identity_oidc.grants.authorization_code import CodeGrant
from identity_oidc.grants.client_authentication import OAuthClient, PrivateKeyJwt
from identity_oidc.grants.endpoints import OwnIntrospection, OwnRevocation
from identity_oidc.grants.refresh_token import RotatingRefresh
from identity_oidc.provider import Provider


class TokenRequest(FlaskOAuth2Request):
    """A request to the address of the settings. TLS ends at the proxy, so what Flask sees is plain HTTP to whatever
    `Host` says; Authlib refuses that, rightly, for any host but loopback."""

    def __init__(self, asked: Request, issuer: str) -> None:
        OAuth2Request.__init__(self, asked.method, f"{issuer}{asked.path}", headers=asked.headers)
        self._request = asked
        self.payload = FlaskOAuth2Payload(asked)


class TokenServer(AuthorizationServer):
    """One an application."""

    def __init__(self, app: Flask, provider: Provider) -> None:
        self.provider = provider
        super().__init__(app, query_client=self._find_client, save_token=_unused)
        self.register_token_generator("default", self._generate)
        self.register_client_auth_method("private_key_jwt", PrivateKeyJwt(provider))
        self.register_grant(CodeGrant, [CodeChallenge(required=True)])
        self.register_grant(RotatingRefresh)
        self.register_endpoint(OwnIntrospection)
        self.register_endpoint(OwnRevocation)

    def create_oauth2_request(self, _: Any) -> TokenRequest:
        return TokenRequest(request, self.provider.config.issuer)

    def _find_client(self, client_id: str) -> OAuthClient | None:
        found = self.provider.find_client(client_id) if len(client_id) <= 128 else None
        return None if found is None else OAuthClient(found)

    def _generate(self, *, scope: str | None = None, include_refresh_token: bool = True, **_: Any) -> dict[str, Any]:
        """Called with keywords by Authlib."""
        token: dict[str, Any] = {
            "token_type": "Bearer",
            "access_token": secrets.token_urlsafe(32),
            "expires_in": self.provider.config.login.access_token_s,
            "scope": scope or "",
        }
        if include_refresh_token:
            token["refresh_token"] = secrets.token_urlsafe(32)
        return token


def _unused(token: dict[str, Any], request: Any) -> None:
    raise NotImplementedError("each grant stores its tokens itself, in the transaction that uses its credential up")
