"""The end of a login in the browser: an approved challenge becomes a session, a grant and a code, once.

Mode local ends by the one-time address that the agent opens, mode remote by a form of the waiting page; both need the
cookie of the session that began. Source: docs/approval.md, approval "Where the browser and the agent meet".
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, update

from identity_oidc import base64url
from identity_oidc.authentication.holds import is_blocked
from identity_oidc.authentication.session import BrowserSession, log_in, renew_session
from identity_oidc.authorization.request import AuthorizationRequest
from identity_oidc.claims import satisfies
from identity_oidc.clients import Client
from identity_oidc.config import LoginSettings
from identity_oidc.consent.grants import Grant, find_grant, store_grant
from identity_oidc.errors import AuthorizationError, PageError
from identity_oidc.logout.ending import end_session
from identity_oidc.ports import IdentityId
from identity_oidc.store.database import record_act
from identity_oidc.store.schema import APPROVALS, CHALLENGES, CLIENT_SESSIONS, REQUESTS
from identity_oidc.store.statement import Row, Statement, given, insertion
from identity_oidc.tokens.codes import ClientSession, issue_code

COMPLETION_S: Final = 60
_LAST_APPROVAL: Final = ("sub", "grant_id", "acr", "auth_time", "approval", "single_sign_on_until")
_MINE: Final = (
    CLIENT_SESSIONS.c.session_id == given(CLIENT_SESSIONS.c.session_id),
    CLIENT_SESSIONS.c.client_id == given(CLIENT_SESSIONS.c.client_id),
)
_FIND_BY_TOKEN: Final = Statement(
    select(CHALLENGES.c.request_id, CHALLENGES.c.mode).where(
        CHALLENGES.c.completion_hash == given(CHALLENGES.c.completion_hash)
    )
)
_USE: Final = Statement(
    update(CHALLENGES)
    .where(
        CHALLENGES.c.jti == given(CHALLENGES.c.jti),
        CHALLENGES.c.state == "approved",
        CHALLENGES.c.approved_at > given(CHALLENGES.c.approved_at, "after"),
    )
    .values(state="completed", completion_hash=None)
)
_COMPLETE_REQUEST: Final = Statement(
    update(REQUESTS)
    .where(REQUESTS.c.request_id == given(REQUESTS.c.request_id))
    .values(completed_at=given(REQUESTS.c.completed_at, "now"))
)
_FIND_SID: Final = Statement(select(CLIENT_SESSIONS.c.sid).where(*_MINE))
_BEGIN_CLIENT_SESSION: Final = Statement(insertion(CLIENT_SESSIONS, "ended_at"))
_RENEW_CLIENT_SESSION: Final = Statement(
    update(CLIENT_SESSIONS)
    .where(*_MINE)
    .values({"ended_at": None} | {name: given(CLIENT_SESSIONS.c[name]) for name in _LAST_APPROVAL})
)
_FIND_SINGLE_SIGN_ON: Final = Statement(
    select(CLIENT_SESSIONS).where(
        *_MINE,
        CLIENT_SESSIONS.c.ended_at.is_(None),
        CLIENT_SESSIONS.c.single_sign_on_until > given(CLIENT_SESSIONS.c.single_sign_on_until, "now"),
    )
)


@dataclass(frozen=True, slots=True)
class Completed:
    """A login that is done: the code for the app, and the session with its new secret."""

    code: str
    session: BrowserSession


def find_by_token(connection: Connection, token: str) -> Row | None:
    """Request and mode of the challenge of a one-time completion address."""
    return _FIND_BY_TOKEN.first(connection, completion_hash=base64url.digest(token))


def complete(  # noqa: PLR0917  what a login is made of
    connection: Connection,
    challenge: Mapping[str, Any],
    session: BrowserSession,
    request: AuthorizationRequest,
    client: Client,
    now: int,
    login: LoginSettings,
) -> Completed:
    """In one transaction: 1. the session that began it; 2. the challenge, once; 3. session, grant, code.

    Raises `PageError`.
    """
    if (challenge["session_id"], challenge["session_hash"]) != (session.session_id, session.secret_hash):  # 1
        raise PageError("This login was begun in another browser. Begin it again in this one.")
    if _USE.changed(connection, jti=challenge["jti"], after=now - COMPLETION_S) != 1:  # 2
        raise PageError("This login was completed before, or has run out. Go back to the app and begin it again.")
    identity, person = IdentityId(challenge["identity"]), str(challenge["person"])  # 3
    asked = challenge["fetched"]["request"]
    if request.hinted_sub and request.hinted_sub != challenge["fetched"]["sub"]:
        raise AuthorizationError("login_required", "another person logged in than id_token_hint names")
    if session.identity is not None and session.identity != identity:
        end_session(connection, session.session_id, now)
        session = renew_session(connection, session, now, login.session_s)
    logged_in = log_in(connection, session, identity, person, asked["acr"], now, login.session_s)
    if logged_in is None:
        raise PageError("The browser's session changed during the login. Go back to the app and begin it again.")
    grant = store_grant(connection, challenge, client, now)
    own = _client_session(connection, logged_in, grant, challenge, now)
    code = issue_code(connection, request, grant, identity, own, now, login.code_s)
    _COMPLETE_REQUEST.changed(connection, request_id=challenge["request_id"], now=now)
    record_act(connection, now, "login", challenge=challenge["jti"], client=client.client_id, acr=own.acr)
    return Completed(code, logged_in)


def single_sign_on(
    connection: Connection,
    session: BrowserSession,
    request: AuthorizationRequest,
    now: int,
    login: LoginSettings,
) -> str | None:
    """A code without a new signature, where the last approval at this app still allows it; None where it does not.

    Source: docs/approval.md: only for the seconds that the context stated, only at an app that has a signed grant.
    """
    if session.identity is None or is_blocked(connection, session.identity, request.client_id):
        return None
    row = _FIND_SINGLE_SIGN_ON.first(connection, session_id=session.session_id, client_id=request.client_id, now=now)
    grant = None if row is None else find_grant(connection, row["grant_id"], now)
    if row is None or grant is None or not grant.covers(request.items) or _is_wider(connection, request, row):
        return None
    if request.acr_values and not any(satisfies(row["acr"], wanted) for wanted in request.acr_values):
        return None
    if request.max_age_s is not None and (request.max_age_s == 0 or now - row["auth_time"] > request.max_age_s):
        return None
    if request.hinted_sub and request.hinted_sub != grant.sub:
        return None
    own = ClientSession(
        row["sid"], session.session_id, request.client_id, grant.sub, row["acr"], row["auth_time"], row["approval"]
    )
    record_act(connection, now, "single-sign-on", client=request.client_id)
    return issue_code(connection, request, grant, session.identity, own, now, login.code_s)


def _is_wider(connection: Connection, request: AuthorizationRequest, row: Mapping[Any, Any]) -> bool:
    """Whether tokens that outlive the session are asked for and nobody signed for them; other scopes are items."""
    if "offline_access" not in request.scope:
        return False
    context = connection.execute(select(APPROVALS.c.context).where(APPROVALS.c.jti == row["approval"])).scalar()
    return context is None or "offline_access" not in json.loads(context)["scope"].split()


def _client_session(
    connection: Connection, session: BrowserSession, grant: Grant, challenge: Mapping[str, Any], now: int
) -> ClientSession:
    """The app's part of this session: the same `sid` as long as it lasts, with what the last approval said."""
    asked = challenge["fetched"]["request"]
    values = {
        "sub": grant.sub,
        "grant_id": grant.grant_id,
        "acr": asked["acr"],
        "auth_time": now // 60 * 60,
        "approval": challenge["jti"],
        "single_sign_on_until": now + asked["sso_seconds"],
    }
    mine = {"session_id": session.session_id, "client_id": grant.client_id}
    found = _FIND_SID.first(connection, **mine)
    sid = secrets.token_urlsafe(18) if found is None else str(found["sid"])
    if found is None:
        _BEGIN_CLIENT_SESSION.changed(connection, sid=sid, created_at=now, **mine, **values)
    else:
        _RENEW_CLIENT_SESSION.changed(connection, **mine, **values)
    return ClientSession(
        sid, session.session_id, grant.client_id, grant.sub, asked["acr"], now // 60 * 60, challenge["jti"]
    )
