"""UserInfo, plain or signed. Source: OIDC Core §5.3, RFC 6750 §2."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from identity_oidc.claims import SCOPE_CLAIMS
from identity_oidc.consent.grants import find_grant, record_release
from identity_oidc.consent.release import release
from identity_oidc.provider import Provider
from identity_oidc.tokens.access import StoredToken, find_access_token
from identity_oidc.tokens.id_token import sign
from identity_oidc.views.web import document, provider

userinfo = Blueprint("userinfo", __name__)
_MAX_TOKEN_CHARS = 512


@userinfo.route("/userinfo", methods=["GET", "POST"])
def user_information() -> Response:
    """`sub`, and what was granted, read now from the operator's database; each release is on record."""
    parts, now = provider(), provider().now()
    text = _bearer()
    if text is None:
        return _refused(400, "invalid_request", "send the access token once, in Authorization or as a form field")
    if not text:
        return _refused(401, "", "")
    with parts.database.reading() as connection:
        found = find_access_token(connection, text, now) if len(text) <= _MAX_TOKEN_CHARS else None
        grant = find_grant(connection, found.family.grant_id, now) if found is not None and found.is_live else None
    client = parts.find_client(found.family.client_id) if found is not None else None
    if found is None or grant is None or client is None:
        return _refused(401, "invalid_token", "the access token is not good (any more)")
    released = release(parts.subscribers, grant, [name for name in _covered(found) if name in client.items])
    if released:
        with parts.database.writing() as connection:
            record_release(connection, grant, released, "userinfo", now)
    claims = {**released, "sub": found.family.sub}
    if not client.userinfo_signed_response_alg:
        return document(claims)
    return _signed(parts, found, client.userinfo_signed_response_alg, claims, now)


def _covered(found: StoredToken) -> list[str]:
    """Claims of this token: a refresh may have asked for less scope than the login. Source: RFC 6749 §6."""
    given_up = set(found.family.scope.split()) - set(found.scope.split())
    left_out = {name for scope in given_up for name in SCOPE_CLAIMS.get(scope, ())}
    return [name for name in found.family.userinfo_claims if name not in left_out]


def _signed(parts: Provider, found: StoredToken, algorithm: str, claims: dict[str, Any], now: int) -> Response:
    content = {**claims, "iss": parts.config.issuer, "aud": found.family.client_id, "iat": now}
    response = Response(sign(parts.keys, algorithm, "JWT", content), content_type="application/jwt")
    response.headers["Cache-Control"] = "no-store"
    return response


def _bearer() -> str | None:
    """The token; empty where there is none, None where there are several or it stands in the address."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    posted = request.form.getlist("access_token") if request.method == "POST" else []
    found = [*([value.strip()] if scheme.lower() == "bearer" else []), *posted]
    if len(found) > 1 or "access_token" in request.args:
        return None
    return found[0] if found else ""


def _refused(status: int, error: str, text: str) -> Response:
    response = document({"error": error, "error_description": text} if error else {}, status)
    details = f' error="{error}", error_description="{text}"' if error else ' realm="userinfo"'
    response.headers["WWW-Authenticate"] = f"Bearer{details}"
    return response
