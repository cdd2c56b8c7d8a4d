"""A refresh token for tokens: rotation, and the end of all where one comes twice. Source: RFC 9700 §4.14."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant

from identity_oidc.consent.grants import Grant, find_grant
from identity_oidc.grants.client_authentication import METHODS, OAuthClient
from identity_oidc.grants.still_active import is_still_active
from identity_oidc.provider import Provider
from identity_oidc.store.database import record_act
from identity_oidc.tokens.access import (
    StoredToken,
    find_refresh_token,
    store_access_token,
    store_refresh_token,
    use_refresh_token,
)
from identity_oidc.tokens.families import revoke_family
from identity_oidc.tokens.id_token import make_id_token


class RotatingRefresh(RefreshTokenGrant):
    """Each refresh token is used once, whatever kind of client holds it."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    @property
    def provider(self) -> Provider:
        found: Provider = self.server.provider
        return found

    def authenticate_refresh_token(self, refresh_token: str) -> StoredToken | None:
        """The token, if it is live and this client's. A used one ends the family: one of two holders is a thief."""
        provider = self.provider
        with provider.database.reading() as connection:
            found = find_refresh_token(connection, refresh_token, provider.now())
        client: OAuthClient = self.request.client
        if found is None or not found.check_client(client):
            return None
        if found.used_at is not None:
            self._end(found)
            return None
        return found if found.is_live else None

    def authenticate_user(self, refresh_token: StoredToken) -> Grant | None:
        """The grant. Raises `InvalidGrantError`, and `LedgerStaleError`: the token is not used up."""
        with self.provider.database.reading() as connection:
            grant = find_grant(connection, refresh_token.family.grant_id, self.provider.now())
        if grant is None or not is_still_active(self.provider, refresh_token.family.identity):
            raise InvalidGrantError("The person's identity or permission is not active any more.")
        return grant

    def save_token(self, token: dict[str, Any]) -> None:
        """Use the old token and keep the new ones, in one transaction. No data is released in this ID Token."""
        provider, now = self.provider, self.provider.now()
        old: StoredToken = self.request.refresh_token
        client: OAuthClient = self.request.client
        login = provider.config.login
        token["id_token"] = make_id_token(
            provider.keys,
            provider.config.issuer,
            client.client,
            old.family,
            token["access_token"],
            {},
            now,
            login.id_token_s,
        )
        with provider.database.writing() as connection:
            is_first = use_refresh_token(connection, old, now)
            if is_first:
                family_id, scope = old.family.family_id, token["scope"]
                left_s = old.expires_at - now  # a family does not outlive its first refresh token
                store_access_token(
                    connection, token["access_token"], family_id, scope, now=now, lifetime_s=login.access_token_s
                )
                store_refresh_token(connection, token["refresh_token"], family_id, now=now, lifetime_s=left_s)
        if not is_first:  # another request was a moment faster: two hold this token
            self._end(old)
            raise InvalidGrantError

    def revoke_old_credential(self, refresh_token: StoredToken) -> None:
        """It was used up with the new one's storing."""

    def _end(self, token: StoredToken) -> None:
        with self.provider.database.writing() as connection:
            now = self.provider.now()
            ended = revoke_family(connection, token.family.family_id, now)
            record_act(connection, now, "refresh-token-reused", client=token.family.client_id, ended=ended)
