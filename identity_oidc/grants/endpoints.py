"""Introspection and revocation, for the app that owns the token only. Source: RFC 7662, RFC 7009."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from identity_oidc.grants.client_authentication import CONFIDENTIAL_METHODS, METHODS, OAuthClient
from identity_oidc.provider import Provider
from identity_oidc.store.database import record_act
from identity_oidc.tokens.access import StoredToken, find_access_token, find_refresh_token, revoke_access_token
from identity_oidc.tokens.families import revoke_family


def _find(provider: Provider, token: str) -> StoredToken | None:
    with provider.database.reading() as connection:
        now = provider.now()
        return find_access_token(connection, token, now) or find_refresh_token(connection, token, now)


class OwnIntrospection(IntrospectionEndpoint):
    """Another app's token, and none at all, look alike."""

    CLIENT_AUTH_METHODS = CONFIDENTIAL_METHODS

    def query_token(self, token_string: str, _hint: str | None) -> StoredToken | None:
        found = _find(self.server.provider, token_string)
        return found if found is not None and found.used_at is None else None

    def check_permission(self, token: StoredToken, client: OAuthClient, _request: Any) -> bool:
        return token.check_client(client)

    def introspect_token(self, token: StoredToken) -> dict[str, Any]:
        return {
            "active": True,
            "client_id": token.family.client_id,
            "token_type": "Bearer" if token.kind == "access_token" else "refresh_token",
            "scope": token.scope,
            "sub": token.family.sub,
            "aud": token.family.client_id,
            "iss": self.server.provider.config.issuer,
            "iat": token.issued_at,
            "exp": token.expires_at,
        }


class OwnRevocation(RevocationEndpoint):
    """A refresh token's end is its family's; another app's token is left alone, and that is not told."""

    CLIENT_AUTH_METHODS = METHODS

    def authenticate_token(self, request: Any, client: OAuthClient) -> StoredToken | None:
        if "token" not in request.form:
            raise InvalidRequestError("Missing 'token' in request.")
        found = _find(self.server.provider, request.form["token"])
        return found if found is not None and found.check_client(client) else None

    def revoke_token(self, token: StoredToken, _request: Any) -> None:
        provider: Provider = self.server.provider
        now = provider.now()
        with provider.database.writing() as connection:
            if token.kind == "access_token":
                revoke_access_token(connection, token, now)
            else:
                revoke_family(connection, token.family.family_id, now)
            record_act(connection, now, "token-revoked", client=token.family.client_id, kind=token.kind)
