"""The login page, its waiting, and its two ends. Source: docs/sim-agent-api.yaml, "Where browser and agent meet"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, request
from sqlalchemy import Connection, select, update

from identity_oidc.authentication.challenge import LOCAL, REMOTE, FreshHandle, add_handle, first_handle
from identity_oidc.authentication.completion import complete, find_by_token
from identity_oidc.authentication.session import BrowserSession
from identity_oidc.authentication.waiting import WAITING, public_state
from identity_oidc.authorization.request import AuthorizationRequest
from identity_oidc.clients import Client
from identity_oidc.consent.text import claim_label, shown_domain
from identity_oidc.errors import AuthorizationError, PageError
from identity_oidc.provider import Provider
from identity_oidc.qr_code import draw
from identity_oidc.store.schema import CHALLENGES, REQUESTS
from identity_oidc.store.statement import Statement, given
from identity_oidc.streams import MEDIA_TYPE, WATCHED, event
from identity_oidc.views.authorize import error_to_app
from identity_oidc.views.web import (
    browser_session,
    check_csrf,
    code_to_app,
    document,
    language_of_browser,
    origin_of,
    page,
    provider,
    set_session_cookie,
    to_app,
)

login = Blueprint("login", __name__)
_FIND = Statement(
    select(CHALLENGES, REQUESTS.c.parameters)
    .join(REQUESTS, REQUESTS.c.request_id == CHALLENGES.c.request_id)
    .where(
        REQUESTS.c.request_id == given(REQUESTS.c.request_id),
        REQUESTS.c.expires_at > given(REQUESTS.c.expires_at, "now"),
        REQUESTS.c.completed_at.is_(None),
    )
)
_OVER = "This login has run out, or was begun in another browser. Go back to the app and begin it again."


@dataclass(frozen=True, slots=True)
class Waiting:
    """A login of this browser: its request, its challenge's row, the app."""

    request_id: str
    asked: AuthorizationRequest
    challenge: Mapping[str, Any]
    client: Client
    session: BrowserSession


@login.get("/login/<request_id>")
def login_page(request_id: str) -> Response:
    """The page: what the app asks for, and both ways to the agent."""
    parts, now = provider(), provider().now()
    with parts.database.reading() as connection:
        waiting = _waiting(connection, parts, request_id)
    state = waiting.challenge["state"]
    if state not in {"waiting", "fetched", "approved"}:
        raise PageError(_OVER)
    local = first_handle(waiting.session, request_id, LOCAL) if state == "waiting" else None
    remote = _handle_to_show(parts, waiting, now) if state == "waiting" else None
    language = language_of_browser()
    return _with_origin_referrer(
        page(
            "login.html",
            language=language,
            forms=f"http://127.0.0.1:{parts.config.login.agent_loopback_port} {_target(waiting.asked.redirect_uri)}",
            app_name=waiting.client.name,
            domain=shown_domain(waiting.client, waiting.asked.redirect_uri),
            member=waiting.client.member_name,
            purpose=waiting.client.text_of(waiting.client.purpose, language),
            items=_items(waiting, language),
            request_id=request_id,
            csrf_token=waiting.session.csrf_token,
            state=state,
            code=waiting.challenge["code"],
            local=local,
            local_link=_link(parts, local) if local else "",
            loopback=f"http://127.0.0.1:{parts.config.login.agent_loopback_port}/hand-over",
            issuer=parts.config.issuer,
            qr=_qr(parts, remote),
            is_remote_enough=waiting.asked.may_be_remote,
        )
    )


@login.post("/login/<request_id>/handle")
def another_handle(request_id: str) -> Response:
    """A fresh QR for the waiting page, every 30 s; the one before is dead soon."""
    parts, now = provider(), provider().now()
    with parts.database.writing() as connection:
        waiting = _waiting(connection, parts, request_id, csrf=True)
        if waiting.challenge["state"] != "waiting":
            return document({"qr": ""})
        fresh = _remote_handle(connection, parts, waiting, now)
    return document({"qr": _qr(parts, fresh)})


@login.get("/login/<request_id>/status")
def status(request_id: str) -> Response:
    """`waiting`, `done` or `over`, for the browser that began. In mode local it never says `done`."""
    parts = provider()
    with parts.database.reading() as connection:
        waiting = _waiting(connection, parts, request_id)
    return document({"status": public_state(waiting.challenge, parts.now())})


@login.get("/login/<request_id>/events")
def events(request_id: str) -> Response:
    """The same word as an event, and the next one when it is another: the server goes on where Flask ends (`front`).

    Where nobody goes on the browser asks again, by the pause that the event names.
    """
    parts = provider()
    with parts.database.reading() as connection:
        waiting = _waiting(connection, parts, request_id)
    word = public_state(waiting.challenge, parts.now())
    response = Response(event(word), content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx passes it on as it comes
    if word == WAITING:
        request.environ[WATCHED] = waiting.challenge["jti"]
    return response


@login.post("/login/<request_id>/complete")
def complete_remote(request_id: str) -> Response:
    """The waiting page's own form: takes the code of a remote login to the app, or tells it of a no."""
    parts = provider()
    with parts.database.writing() as connection:
        waiting = _waiting(connection, parts, request_id, csrf=True)
        state = public_state(waiting.challenge, parts.now())
        if state == "done":
            return _complete(connection, parts, waiting)
        if state == "over":
            return _denied(connection, waiting, parts.now())
    raise PageError("Your agent has not approved this login yet. Approve it there, then go on here.")


@login.post("/login/<request_id>/cancel")
def cancel(request_id: str) -> Response:
    """The person turns back: the app learns access_denied."""
    parts = provider()
    with parts.database.writing() as connection:
        waiting = _waiting(connection, parts, request_id, csrf=True)
        return _denied(connection, waiting, parts.now())


@login.get("/completion/<token>")
def complete_local(token: str) -> Response:
    """The one-time address that the agent opens, good only in the browser that began."""
    parts = provider()
    with parts.database.writing() as connection:
        challenge = find_by_token(connection, token) if len(token) <= 64 else None
        if challenge is None or challenge["mode"] != LOCAL:
            raise PageError(_OVER)
        return _complete(connection, parts, _waiting(connection, parts, challenge["request_id"]))


def _complete(connection: Connection, parts: Provider, waiting: Waiting) -> Response:
    try:
        done = complete(
            connection,
            waiting.challenge,
            waiting.session,
            waiting.asked,
            waiting.client,
            parts.now(),
            parts.config.login,
        )
    except AuthorizationError as error:
        return error_to_app(waiting.asked, error)
    response = code_to_app(waiting.asked, done.code)
    set_session_cookie(response, done.session)
    return response


def _denied(connection: Connection, waiting: Waiting, now: int) -> Response:
    connection.execute(
        update(CHALLENGES)
        .where(CHALLENGES.c.jti == waiting.challenge["jti"], CHALLENGES.c.state != "completed")
        .values(state="ended", completion_hash=None)
    )
    done = update(REQUESTS).where(REQUESTS.c.request_id == waiting.request_id).values(completed_at=now)
    connection.execute(done)
    return to_app(
        waiting.asked.redirect_uri,
        waiting.asked.state,
        error="access_denied",
        error_description="the person did not approve",
    )


def _waiting(connection: Connection, parts: Provider, request_id: str, *, csrf: bool = False) -> Waiting:
    """The login, if this browser began it and it is not over. Raises `PageError`; all refusals look alike."""
    session = browser_session(connection)
    if csrf:
        session = check_csrf(session)
    is_id = len(request_id) <= 64 and request_id.isprintable()
    row = _FIND.first(connection, request_id=request_id, now=parts.now()) if is_id else None
    if session is None or row is None:
        raise PageError(_OVER)
    if (row["session_id"], row["session_hash"]) != (session.session_id, session.secret_hash):
        raise PageError(_OVER)
    client = parts.find_client(row["client_id"])
    asked = AuthorizationRequest.from_content(row["parameters"])
    if client is None or not asked.is_open_to(client):
        raise PageError(_OVER)
    return Waiting(request_id, asked, row, client, session)


def _handle_to_show(parts: Provider, waiting: Waiting, now: int) -> FreshHandle | None:
    """The first one while it lives as long as a page shows it, which asks for another one then; a new one later."""
    if waiting.asked.may_be_remote and now - waiting.challenge["created_at"] <= parts.config.login.remote_link_s // 2:
        return first_handle(waiting.session, waiting.request_id, REMOTE)
    with parts.database.writing() as connection:
        return _remote_handle(connection, parts, waiting, now)


def _remote_handle(connection: Connection, parts: Provider, waiting: Waiting, now: int) -> FreshHandle | None:
    if not waiting.asked.may_be_remote:
        return None
    until = min(now + parts.config.login.remote_link_s, waiting.challenge["expires_at"])
    return add_handle(connection, waiting.challenge["jti"], REMOTE, until)


def _link(parts: Provider, handle: FreshHandle | None) -> str:
    if handle is None:
        return ""
    values = {"issuer": parts.config.issuer, "handle": handle.handle}
    if handle.secret:
        values["local_secret"] = handle.secret
    return f"tally-agent://login?{urlencode(values)}"


def _qr(parts: Provider, handle: FreshHandle | None) -> str:
    """The link of a remote handle, which ends with it."""
    return draw(_link(parts, handle).removesuffix(handle.handle), handle.handle) if handle else ""


def _items(waiting: Waiting, language: str) -> list[dict[str, Any]]:
    client = waiting.client
    return [
        {"label": claim_label(name, language), "purpose": client.text_of(client.items[name], language)}
        for name in sorted(waiting.asked.items)
    ]


def _target(redirect_uri: str) -> str:
    """What `form-action` must allow: browsers apply it to each redirect after a form, also to those of the app, which
    may lead on to any host. A native app's own addresses lead no further."""
    parts = urlsplit(redirect_uri)
    return origin_of(redirect_uri) if parts.scheme == "http" else f"{parts.scheme}:"


def _with_origin_referrer(response: Response) -> Response:
    """The agent takes a hand-over only with our Origin, which browsers send under this policy."""
    response.headers["Referrer-Policy"] = "origin"
    return response
