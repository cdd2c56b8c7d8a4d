"""A code for tokens. Source: RFC 6749 §4.1.3, RFC 7636 §4.5, OIDC Core §3.1.3."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from sqlalchemy import Connection

from identity_oidc.consent.grants import Grant, find_grant, record_release
from identity_oidc.consent.release import release
from identity_oidc.grants.client_authentication import METHODS, OAuthClient
from identity_oidc.grants.still_active import is_still_active
from identity_oidc.provider import Provider
from identity_oidc.store.database import record_act
from identity_oidc.tokens.access import store_access_token, store_refresh_token
from identity_oidc.tokens.codes import Code, Family, find_code, use_code
from identity_oidc.tokens.families import revoke_family
from identity_oidc.tokens.id_token import make_id_token


class PresentedCode:
    """A code as Authlib sees it."""

    code_challenge_method = "S256"

    def __init__(self, code: Code) -> None:
        self.code = code
        self.code_challenge = code.code_challenge

    def get_redirect_uri(self) -> str:
        return self.code.redirect_uri

    def get_scope(self) -> str:
        return self.code.family.scope


class CodeGrant(AuthorizationCodeGrant):
    """Checks of Authlib: client, redirect URI, PKCE. Ours: one use, the ledger's word, what was granted."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    @property
    def provider(self) -> Provider:
        found: Provider = self.server.provider
        return found

    def query_authorization_code(self, code: str, client: OAuthClient) -> PresentedCode | None:
        """The code, if it is this client's and unused; a code that comes again ends the tokens that it gave."""
        now = self.provider.now()
        with self.provider.database.reading() as connection:
            found = find_code(connection, code)
        if found is None or found.client_id != client.client_id:
            return None
        if found.used_at is not None:
            self._end(found)
            return None
        is_over = found.expires_at <= now or found.family.revoked_at is not None
        is_over |= not client.client.has_redirect_uri(found.redirect_uri)  # it was registered when the login began
        return None if is_over else PresentedCode(found)

    def authenticate_user(self, authorization_code: PresentedCode) -> Grant | None:
        """The grant, if ledger and person still stand by it. Raises `LedgerStaleError`: the code is not used up."""
        family = authorization_code.code.family
        if not is_still_active(self.provider, family.identity):
            return None
        with self.provider.database.reading() as connection:
            return find_grant(connection, family.grant_id, self.provider.now())

    def save_token(self, token: dict[str, Any]) -> None:
        """Use the code and keep the tokens, in one transaction; data released in the ID Token is on record with it."""
        provider, now = self.provider, self.provider.now()
        code: Code = self.request.authorization_code.code
        grant: Grant = self.request.user
        client: OAuthClient = self.request.client
        asked = [name for name in code.family.id_token_claims if name in client.client.items]
        released = release(provider.subscribers, grant, asked)
        login = provider.config.login
        if not code.family.is_offline:
            token.pop("refresh_token", None)
        token["id_token"] = make_id_token(
            provider.keys,
            provider.config.issuer,
            client.client,
            code.family,
            token["access_token"],
            released,
            now,
            login.id_token_s,
        )
        with provider.database.writing() as connection:
            is_first = use_code(connection, code, now)
            if is_first:
                self._store(connection, code.family, token)
                if released:
                    record_release(connection, grant, released, "id_token", now)
        if not is_first:  # another request was a moment faster
            self._end(code)
            raise InvalidGrantError("Invalid 'code' in request.")

    def _store(self, connection: Connection, family: Family, token: dict[str, Any]) -> None:
        now, login = self.provider.now(), self.provider.config.login
        store_access_token(
            connection, token["access_token"], family.family_id, family.scope, now=now, lifetime_s=login.access_token_s
        )
        if "refresh_token" in token:
            store_refresh_token(
                connection, token["refresh_token"], family.family_id, now=now, lifetime_s=login.refresh_token_s
            )

    def delete_authorization_code(self, authorization_code: PresentedCode) -> None:
        """It stays until it is swept, so that its second use is noticed."""

    def generate_authorization_code(self) -> str:
        raise InvalidRequestError  # our own pipeline owns the authorization endpoint

    def _end(self, code: Code) -> None:
        with self.provider.database.writing() as connection:
            now = self.provider.now()
            ended = revoke_family(connection, code.family.family_id, now)
            record_act(connection, now, "code-reused", client=code.client_id, ended=ended)
