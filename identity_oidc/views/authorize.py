"""The authorization endpoint: the pipeline's answer, single sign-on, or the login page."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from sqlalchemy import Connection

from identity_oidc.authentication.challenge import begin_challenge
from identity_oidc.authentication.completion import single_sign_on
from identity_oidc.authentication.session import BrowserSession, begin_session
from identity_oidc.authorization import pipeline
from identity_oidc.authorization.request import AuthorizationRequest, Draft, Surroundings
from identity_oidc.clients import Client
from identity_oidc.errors import AuthorizationError, LedgerStaleError, PageError
from identity_oidc.grants.still_active import is_still_active
from identity_oidc.provider import Provider
from identity_oidc.store.schema import REQUESTS
from identity_oidc.store.statement import Statement, insertion
from identity_oidc.tokens.id_token import read_own_id_token
from identity_oidc.views.web import browser_session, code_to_app, provider, redirect, set_session_cookie, to_app

authorize = Blueprint("authorize", __name__)
_STORE = Statement(insertion(REQUESTS, "completed_at"))
_MAX_POSTED_CHARS = 8_192
_LOGIN_PROMPTS = frozenset({"login", "consent", "select_account"})


@authorize.route("/authorize", methods=["GET", "POST"])
def authorization() -> Response:
    """A posted request comes again by GET: browsers send our cookie with a top-level GET only (SameSite=Lax)."""
    parts = provider()
    if request.method == "POST":
        query = urlencode(list(request.form.items(multi=True)))
        if request.args or len(query) > _MAX_POSTED_CHARS:
            raise PageError("The app sent too much, or parameters in two places. Go back to it.")
        return redirect(f"{parts.config.issuer}/authorize?{query}")
    parameters = {name: tuple(values) for name, values in request.args.lists()}
    draft = pipeline.begin(parameters, Surroundings(parts.find_client, _hint_reader(parts)))
    try:
        return _begin(parts, pipeline.run(draft))
    except AuthorizationError as error:
        return error_to_app(draft, error)


def error_to_app(asked: Draft | AuthorizationRequest, error: AuthorizationError) -> Response:
    return to_app(asked.redirect_uri, asked.state, error=error.error, error_description=error.message)


def _begin(parts: Provider, asked: AuthorizationRequest) -> Response:
    now = parts.now()
    with parts.database.reading() as connection:
        session = browser_session(connection)
    may_sign_on = session is not None and session.identity is not None and not _LOGIN_PROMPTS & set(asked.prompt)
    try:
        if may_sign_on and session is not None and session.identity is not None:
            may_sign_on = is_still_active(parts, session.identity)
    except LedgerStaleError as error:
        raise AuthorizationError("temporarily_unavailable", error.message) from error
    with parts.database.writing() as connection:
        if may_sign_on and session is not None:
            code = single_sign_on(connection, session, asked, now, parts.config.login)
            if code is not None:
                return code_to_app(asked, code)
        if "none" in asked.prompt:
            raise _no_interaction(session)
        if session is None:
            session = begin_session(
                connection, request.headers.get("User-Agent", "")[:512], now, parts.config.login.session_s
            )
        request_id = _store(connection, parts, asked, session, now)
    response = redirect(f"{parts.config.issuer}/login/{request_id}?lang={asked.language}")
    set_session_cookie(response, session)
    return response


def _store(
    connection: Connection, parts: Provider, asked: AuthorizationRequest, session: BrowserSession, now: int
) -> str:
    request_id = secrets.token_urlsafe(18)
    _STORE.changed(
        connection,
        request_id=request_id,
        session_id=session.session_id,
        client_id=asked.client_id,
        parameters=asked.content(),
        created_at=now,
        expires_at=now + parts.config.login.request_s,
    )
    begin_challenge(
        connection,
        request_id,
        asked.client_id,
        session,
        now=now,
        login=parts.config.login,
        may_be_remote=asked.may_be_remote,
    )
    return request_id


def _no_interaction(session: BrowserSession | None) -> AuthorizationError:
    """Source: OIDC Core §3.1.2.6. Whether it was the login or the consent that is missing tells nothing more."""
    if session is None or session.identity is None:
        return AuthorizationError("login_required", "the person is not logged in, and prompt=none allows no page")
    return AuthorizationError("consent_required", "this needs the person's approval, and prompt=none allows no page")


def _hint_reader(parts: Provider) -> Callable[[str, Client], str | None]:
    def subject_of_hint(hint: str, client: Client) -> str | None:
        claims = read_own_id_token(parts.keys, parts.config.issuer, hint)
        if claims is None or claims.get("aud") != client.client_id:
            return None
        sub = claims.get("sub")
        return sub if isinstance(sub, str) else None

    return subject_of_hint
