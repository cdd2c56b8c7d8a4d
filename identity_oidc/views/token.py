"""Token, introspection, revocation: Authlib's, after the checks that it leaves out."""

from __future__ import annotations

import base64

from flask import Blueprint, Response, current_app, request

from identity_oidc.grants.server import TokenServer
from identity_oidc.views.web import document

token = Blueprint("token", __name__)
SERVER = "tiger-tally-token-server"
_MAX_VALUE_CHARS = 8_192


@token.post("/token")
def tokens() -> Response:
    return _malformed() or _final(_server().create_token_response())


@token.post("/introspect")
def introspect() -> Response:
    return _malformed() or _final(_server().create_endpoint_response("introspection"))


@token.post("/revoke")
def revoke() -> Response:
    return _malformed() or _final(_server().create_endpoint_response("revocation"))


def _server() -> TokenServer:
    found: TokenServer = current_app.extensions[SERVER]
    return found


def _malformed() -> Response | None:
    """No parameter twice, none in the address, one way of authentication. Source: RFC 6749 §3.2, §2.3."""
    text = ""
    if request.args:
        text = "parameters go into the body"
    elif any(len(values) > 1 or len(values[0]) > _MAX_VALUE_CHARS for _, values in request.form.lists()):
        text = "a parameter is there twice, or too long"
    elif sum(
        (
            "Authorization" in request.headers,
            "client_secret" in request.form,
            "client_assertion" in request.form,
        )
    ) > 1:  # fmt: skip
        text = "more than one way of client authentication"
    elif not _is_text(request.headers.get("Authorization", "")):
        text = "the Authorization header is not Basic over UTF-8"
    return document({"error": "invalid_request", "error_description": text}, 400) if text else None


def _is_text(authorization: str) -> bool:
    """Whether Authlib may decode it: other octets than UTF-8 it takes for a defect. Source: RFC 7617 §2.1."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return True
    try:
        base64.b64decode(value).decode("utf-8")
    except ValueError:
        return False
    return True


def _final(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    if response.status_code == 401:
        response.headers.setdefault("WWW-Authenticate", 'Basic realm="token"')
    return response
