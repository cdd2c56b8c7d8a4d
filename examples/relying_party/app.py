"""A small app that lets people log in with the key on their SIM.

    RELYING_PARTY_SETTINGS=shop.json flask --app 'examples.relying_party.app:create()' run

The JSON file has issuer, client_id, client_secret_file, address, and ca_file where the provider's certificate is of a
private authority. README.md says how to register the app.
"""

from __future__ import annotations

import html
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flask import Flask, Response, redirect, request

from examples.relying_party.provider import Attempt, Login, OpenIdProvider
from examples.relying_party.sessions import Sessions
from examples.relying_party.verification import CLOCK_SKEW_S, NotTrustedError

COOKIE: Final = "relying-party-session"
SCOPE: Final = "openid email"


@dataclass(frozen=True, slots=True)
class Settings:
    """`address` is this app's own, such as https://shop.example, without a slash at its end."""

    issuer: str
    client_id: str
    client_secret_file: str
    address: str
    ca_file: str | None = None


def create() -> Flask:
    """The app by the file that the environment names."""
    path = Path(os.environ["RELYING_PARTY_SETTINGS"])
    return create_app(Settings(**json.loads(path.read_text("utf-8"))))


def create_app(settings: Settings) -> Flask:
    """The app; it asks the provider for its metadata at once."""
    app, shop = Flask(__name__), Shop(settings)
    app.config["MAX_CONTENT_LENGTH"] = 65_536
    app.add_url_rule("/", view_func=shop.home)
    app.add_url_rule("/login", view_func=shop.login, methods=["POST"])
    app.add_url_rule("/callback", view_func=shop.callback)
    app.add_url_rule("/orders", view_func=shop.orders)
    app.add_url_rule("/logout", view_func=shop.logout, methods=["POST"])
    app.add_url_rule("/backchannel-logout", view_func=shop.backchannel_logout, methods=["POST"])
    app.after_request(_protect)
    return app


class Shop:
    """What the app answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions = Sessions()
        secret = Path(settings.client_secret_file).read_text("utf-8").strip()
        callback = f"{settings.address}/callback"
        self._provider = OpenIdProvider(settings.issuer, settings.client_id, secret, callback, settings.ca_file)

    def home(self) -> str:
        """With a login button."""
        if self._who() is not None:
            return _page('<p>You are logged in. <a href="/orders">Your orders</a></p>' + _LOGOUT_BUTTON)
        return _page('<form method="post" action="/login"><button>Log in with your SIM</button></form>')

    def login(self) -> Response:
        """Begin a login: what it must come back with stays on this server."""
        attempt = Attempt()
        language = request.accept_languages.best_match(["en", "zh"]) or "en"
        return self._keep(self._provider.login_address(attempt, SCOPE, language), attempt)

    def callback(self) -> Response | tuple[str, int]:
        """Only the browser that began a login may end it, once."""
        attempt = self._sessions.take(request.cookies.get(COOKIE, ""))
        if not isinstance(attempt, Attempt):
            return _page("<p>This login was not begun in this browser, or is over. Begin it again.</p>"), 400
        try:
            found = self._provider.redeem(attempt, request.args.to_dict())
        except NotTrustedError as error:
            return _page(f"<p>You are not logged in: {html.escape(str(error))}.</p>"), 403
        return self._keep("/orders", found)

    def orders(self) -> str | tuple[str, int]:
        """The protected page."""
        login = self._who()
        if login is None:
            return _page("<p>Log in first.</p>"), 401
        # `sub` is this app's own name for the person: the key of its records, and of no use to anybody else.
        email = html.escape(str(login.data.get("email", "not given")))
        return _page(f"<p>Customer <code>{html.escape(login.sub)}</code>, mail address: {email}.</p>" + _LOGOUT_BUTTON)

    def logout(self) -> Response:
        """End the login here, then at the provider, which asks the person."""
        ended = self._sessions.take(request.cookies.get(COOKIE, ""))
        target = "/"
        if isinstance(ended, Login):
            back = f"{self._settings.address}/"
            target = self._provider.logout_address(ended.id_token, back, secrets.token_urlsafe(16))
        response = redirect(target, 303)
        response.delete_cookie(COOKIE, path="/")
        return response

    def backchannel_logout(self) -> tuple[str, int]:
        """The provider tells, by a signed token, that a login is over. Source: Back-Channel Logout 1.0 §2.5 to §2.8."""
        try:
            claims = self._provider.verifier.logout_token(request.form.get("logout_token", ""))
        except NotTrustedError as error:
            return str(error), 400
        if not self._sessions.use_once(str(claims["jti"]), claims["exp"] + CLOCK_SKEW_S):
            return "this token was used before", 400
        self._sessions.end(claims.get("sub"), claims.get("sid"))
        return "", 200

    def _who(self) -> Login | None:
        return self._sessions.login(request.cookies.get(COOKIE, ""))

    def _keep(self, target: str, content: Attempt | Login) -> Response:
        """A new session id at each step: one that somebody planted in the browser is worth nothing."""
        response = redirect(target, 303)
        is_https = self._settings.address.startswith("https://")
        session_id = self._sessions.begin(content)
        response.set_cookie(COOKIE, session_id, httponly=True, secure=is_https, samesite="Lax", path="/")
        return response


_LOGOUT_BUTTON: Final = '<form method="post" action="/logout"><button>Log out</button></form>'


def _page(content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Corner Shop</title><h1>Corner Shop</h1>{content}'
    )


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response
