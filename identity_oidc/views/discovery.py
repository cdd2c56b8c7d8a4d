"""Metadata and keys. Source: OpenID Connect Discovery 1.0 §3, RFC 8414, RFC 7517."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from identity_oidc.claims import ACR_VALUES, CLAIMS, SCOPES
from identity_oidc.grants.client_authentication import ASSERTION_ALGORITHMS, CONFIDENTIAL_METHODS, METHODS
from identity_oidc.tokens.key_ring import ALGORITHMS
from identity_oidc.views.web import document, provider

discovery = Blueprint("discovery", __name__)


@discovery.get("/.well-known/openid-configuration")
@discovery.get("/.well-known/oauth-authorization-server")
def configuration() -> Response:
    response = document(metadata(provider().config.issuer))
    response.headers["Cache-Control"] = "public, max-age=300"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


@discovery.get("/jwks")
def jwks() -> Response:
    parts = provider()
    response = document(parts.keys.jwks(), media_type="application/jwk-set+json")
    # Not for longer than a key is published before it signs.
    max_age_s = min(300, parts.config.keys.publish_before_s // 2)
    response.headers["Cache-Control"] = f"public, max-age={max_age_s}"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def metadata(issuer: str) -> dict[str, Any]:
    """What this provider offers."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "end_session_endpoint": f"{issuer}/logout",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["pairwise"],
        "acr_values_supported": list(ACR_VALUES),
        "id_token_signing_alg_values_supported": list(ALGORITHMS),
        "userinfo_signing_alg_values_supported": list(ALGORITHMS),
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": CONFIDENTIAL_METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "code_challenge_methods_supported": ["S256"],
        "claim_types_supported": ["normal"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", *CLAIMS],
        "claims_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "require_request_uri_registration": False,
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "ui_locales_supported": ["en", "zh"],
        "display_values_supported": ["page", "popup", "touch", "wap"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
    }
