"""Apps at the token endpoint: what Authlib asks of a client, and private_key_jwt. Source: RFC 6749 §2.3, RFC 7523."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from identity_oidc.clients import Client
from identity_oidc.provider import Provider
from identity_oidc.store.database import insert_once

METHODS: Final = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]
CONFIDENTIAL_METHODS: Final = METHODS[:3]
ASSERTION_ALGORITHMS: Final = ["ES256", "RS256", "PS256"]
MAX_ASSERTION_S: Final = 300


class OAuthClient(ClientMixin):
    """An app as Authlib sees it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.client_id = client.client_id

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return self.client.has_redirect_uri(redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        return self.client.has_secret(client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002  Authlib's signature
        return method == self.client.token_endpoint_auth_method

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code" or (grant_type == "refresh_token" and self.client.may_refresh)


class PrivateKeyJwt(JWTBearerClientAssertion):
    """Assertions signed by a registered key, for this provider, used once, of at most 300 s."""

    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, provider: Provider) -> None:
        super().__init__(validate_jti=True, leeway=provider.config.login.clock_skew_s)
        self._provider = provider

    def get_audiences(self) -> list[str]:
        return [self._provider.config.issuer, f"{self._provider.config.issuer}/token"]

    def resolve_client_public_key(self, client: OAuthClient) -> KeySet:
        if client.client.token_endpoint_auth_method != self.CLIENT_AUTH_METHOD:
            raise InvalidClientError(description="The client does not authenticate by this method.")
        return KeySet.import_key_set(dict(client.client.jwks))  # type: ignore[arg-type]  # checked at registration

    def extract_assertion(self, assertion: str) -> Any:
        """Header and payload, of which nothing is verified yet."""
        try:
            return super().extract_assertion(assertion)
        except RecursionError as error:
            raise InvalidClientError(description="The client assertion is nested too deep.") from error

    def process_assertion_claims(self, assertion: str, resolve_key: Any) -> Any:
        """The algorithm is one of ours, whatever the header says; addresses of keys in it are not looked at."""
        try:
            token = jwt.decode(assertion, resolve_key, algorithms=ASSERTION_ALGORITHMS)
        except (JoseError, ValueError, TypeError) as error:
            raise InvalidClientError(description="The client assertion is not signed as registered.") from error
        self.verify_claims(token.claims)
        if not isinstance(token.claims["aud"], str):  # an assertion for several could be passed on by each of them
            raise InvalidClientError(description="The client assertion is for more than this provider.")
        exp, now = token.claims["exp"], self._provider.now()
        if type(exp) is not int or exp > now + MAX_ASSERTION_S + self.leeway:
            raise InvalidClientError(description="The client assertion lives longer than 300 s.")
        return token.claims

    def validate_jti(self, claims: dict[str, Any], jti: Any) -> bool:
        if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
            return False
        value = sha256(f"{claims['sub']}:{jti}".encode("utf-8", "surrogatepass")).digest()
        with self._provider.database.writing() as connection:
            return insert_once(connection, "assertion", value, self._provider.now() + MAX_ASSERTION_S + 120)
