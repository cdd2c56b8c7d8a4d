"""RP-initiated logout. Source: OpenID Connect RP-Initiated Logout 1.0 §2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, request

from identity_oidc.authentication.session import COOKIE
from identity_oidc.errors import PageError
from identity_oidc.logout.ending import end_session
from identity_oidc.provider import Provider
from identity_oidc.tokens.id_token import read_own_id_token
from identity_oidc.views.web import browser_session, check_csrf, page, provider, redirect

logout = Blueprint("logout", __name__)
_KNOWN = frozenset({"id_token_hint", "post_logout_redirect_uri", "client_id", "state", "ui_locales", "logout_hint"})
_MAX_CHARS = 4_096


@dataclass(frozen=True, slots=True)
class Return:
    """Where the browser goes afterwards: an address that this app registered; empty for nowhere."""

    client_id: str
    address: str
    state: str

    @property
    def target(self) -> str:
        mark = "&" if "?" in self.address else "?"
        return self.address + (f"{mark}{urlencode({'state': self.state})}" if self.state else "")


@logout.route("/logout", methods=["GET", "POST"])
def ask_logout() -> Response:
    """The person is always asked, so that no other site logs people out; the app is followed only where it is known."""
    parts = provider()
    values = request.form if request.method == "POST" else request.args
    if any(len(found) > 1 or len(found[0]) > _MAX_CHARS for name, found in values.lists() if name in _KNOWN):
        raise PageError("The app sent a parameter twice, or one that is too long. Go back to it.")
    if request.method == "POST" and COOKIE not in request.cookies:
        # Browsers leave our cookie out of another site's POST (SameSite=Lax): without it nobody would be logged out.
        query = urlencode([(name, value) for name, value in values.items() if name in _KNOWN])
        return redirect(f"{parts.config.issuer}/logout?{query}")
    back = _checked(parts, Return(_client_id(parts, values), values.get("post_logout_redirect_uri", ""), ""))
    back = replace(back, state=values.get("state", "") if back.address else "")
    with parts.database.reading() as connection:
        session = browser_session(connection)
    if session is None or session.identity is None:
        return redirect(back.target) if back.address else page("logged_out.html")
    forms = f"{urlsplit(back.address).scheme}:" if back.address else ""  # the app may lead on to any host
    return page("logout.html", csrf_token=session.csrf_token, back=back, forms=forms)


@logout.post("/logout/confirm")
def confirm() -> Response:
    """End this browser's session, tell its apps, and go where the app asked, which is checked again."""
    parts = provider()
    sent = Return(*(request.form.get(name, "")[:_MAX_CHARS] for name in ("client_id", "address", "state")))
    back = _checked(parts, sent)
    with parts.database.writing() as connection:
        session = check_csrf(browser_session(connection))
        end_session(connection, session.session_id, parts.now())
    response = redirect(back.target) if back.address else page("logged_out.html")
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    return response


def _client_id(parts: Provider, values: Mapping[str, str]) -> str:
    """The app that `id_token_hint` (expired or not) or `client_id` names. Raises `PageError` where they differ."""
    hint, client_id = values.get("id_token_hint"), values.get("client_id", "")
    if hint is None:
        return client_id
    claims = read_own_id_token(parts.keys, parts.config.issuer, hint)
    if claims is None or (client_id and claims.get("aud") != client_id):
        raise PageError("The app sent a token that is not its own. You are still logged in.")
    return str(claims.get("aud"))


def _checked(parts: Provider, back: Return) -> Return:
    """Source: §3: an exact registered address. Raises `PageError` for one that is not known."""
    if not back.address:
        return Return("", "", "")
    client = parts.find_client(back.client_id) if back.client_id else None
    if client is None or back.address not in client.post_logout_redirect_uris:
        raise PageError("The address that the app wants you sent to is not registered. You are still logged in.")
    return back
