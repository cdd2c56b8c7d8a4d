"""The person's page: logins, permissions, agents; withdraw, log out everywhere, hold. No card is needed for any of it.

It is shown for a while after a login with the card in this browser (`login.account_s`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy import Connection, delete, func, select

from identity_oidc.authentication.agents import end_agent
from identity_oidc.authentication.holds import is_held, place_hold
from identity_oidc.authentication.session import BrowserSession
from identity_oidc.consent.text import claim_label
from identity_oidc.errors import PageError
from identity_oidc.logout.ending import end_identity, end_session, end_sessions_of_person, withdraw
from identity_oidc.provider import Provider
from identity_oidc.store.database import record_act
from identity_oidc.store.schema import AGENTS, BLOCKED_APPS, GRANTS, RELEASES, SESSIONS
from identity_oidc.views.texts import texts_in
from identity_oidc.views.web import browser_session, check_csrf, language_of_browser, page, provider, redirect

account = Blueprint("account", __name__)
_MOST = 100


@account.get("/account")
def account_page() -> Response:
    """Everything that is kept of this person's logins."""
    parts = provider()
    with parts.database.reading() as connection:
        session = browser_session(connection)
        if session is None or not _is_recent(parts, session):
            return page("account_closed.html")
        language = language_of_browser()
        content = _content(connection, session, language)
    return page("account.html", language=language, csrf_token=session.csrf_token, **content)


@account.post("/account/withdraw")
def withdraw_grant() -> Response:
    with provider().database.writing() as connection:
        session = _own(connection)
        withdraw(connection, session.person or "", request.form.get("client_id", "")[:128], provider().now())
    return _back()


@account.post("/account/session")
def end_one_session() -> Response:
    with provider().database.writing() as connection:
        session = _own(connection)
        chosen = request.form.get("session_id", "")[:64]
        mine = SESSIONS.c.session_id == chosen, SESSIONS.c.person == session.person
        if connection.execute(select(SESSIONS.c.session_id).where(*mine)).first() is not None:
            end_session(connection, chosen, provider().now())
    return _back()


@account.post("/account/everywhere")
def log_out_everywhere() -> Response:
    with provider().database.writing() as connection:
        session = _own(connection)
        end_sessions_of_person(connection, session.person or "", provider().now())
    return _ended("ended")


@account.post("/account/agent")
def end_one_agent() -> Response:
    with provider().database.writing() as connection:
        session = _own(connection)
        now, chosen = provider().now(), request.form.get("agent_id", "")[:64]
        if session.identity is not None and end_agent(connection, chosen, session.identity, now):
            record_act(connection, now, "agent-ended", agent=chosen)
    return _back()


@account.post("/account/unblock")
def unblock() -> Response:
    with provider().database.writing() as connection:
        session = _own(connection)
        mine = BLOCKED_APPS.c.identity == session.identity
        chosen = BLOCKED_APPS.c.client_id == request.form.get("client_id", "")[:128]
        connection.execute(delete(BLOCKED_APPS).where(mine, chosen))
    return _back()


@account.post("/account/hold")
def hold() -> Response:
    """Held here at once; `tally oidc holds` tells the operator, whose duty account places it on the ledger."""
    with provider().database.writing() as connection:
        session, now = _own(connection), provider().now()
        if session.identity is not None:
            place_hold(connection, session.identity, now, "page")
            end_identity(connection, session.identity, now, with_agents=False)
    return _ended("held")


def _own(connection: Connection) -> BrowserSession:
    """The session of a person who logged in a short while ago. Raises `PageError`."""
    session = check_csrf(browser_session(connection))
    if not _is_recent(provider(), session):
        raise PageError("Log in with your SIM again, then come back to this page.")
    return session


def _is_recent(parts: Provider, session: BrowserSession) -> bool:
    if session.identity is None or session.auth_time is None:
        return False
    return parts.now() - session.auth_time <= parts.config.login.account_s


def _back() -> Response:
    return redirect(f"{provider().config.issuer}/account?lang={language_of_browser()}")


def _ended(what: str) -> Response:
    """Says at once what was done: the session that could show it is over."""
    texts = texts_in(language_of_browser())
    return page("account_ended.html", title=texts[f"{what}_title"], text=texts[f"{what}_text"])


def _content(connection: Connection, session: BrowserSession, language: str) -> dict[str, Any]:
    person, identity = session.person, session.identity
    live = select(SESSIONS).where(SESSIONS.c.person == person, SESSIONS.c.ended_at.is_(None)).limit(_MOST)
    grants = (
        select(GRANTS, func.count(RELEASES.c.release_id).label("times"), func.max(RELEASES.c.released_at).label("last"))
        .outerjoin(RELEASES, RELEASES.c.grant_id == GRANTS.c.grant_id)
        .where(GRANTS.c.person == person, GRANTS.c.withdrawn_at.is_(None))
        .group_by(GRANTS.c.grant_id)
        .order_by(GRANTS.c.created_at.desc())
        .limit(_MOST)
    )
    agents = select(AGENTS).where(AGENTS.c.identity == identity, AGENTS.c.revoked_at.is_(None)).limit(_MOST)
    blocked = select(BLOCKED_APPS.c.client_id).where(BLOCKED_APPS.c.identity == identity).limit(_MOST)
    return {
        "sessions": [
            {
                "id": row["session_id"],
                "browser": row["browser"],
                "since": _time(row["auth_time"] or row["created_at"]),
                "is_this": row["session_id"] == session.session_id,
            }
            for row in connection.execute(live).mappings()
        ],
        "grants": [
            {
                "client_id": row["client_id"],
                "controller": row["controller"],
                "granted": [claim_label(name, language) for name in row["granted"]],
                "refused": [claim_label(name, language) for name in row["refused"]],
                "since": _time(row["created_at"]),
                "until": _time(row["expires_at"]),
                "times": row["times"],
                "last": _time(row["last"]) if row["last"] else "",
            }
            for row in connection.execute(grants).mappings()
        ],
        "agents": [
            {"id": row["agent_id"], "label": row["label"], "last": _time(row["last_seen_at"])}
            for row in connection.execute(agents).mappings()
        ],
        "blocked": list(connection.execute(blocked).scalars()),
        "is_held": identity is not None and is_held(connection, identity),
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
