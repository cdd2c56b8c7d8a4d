"""The person's page: logins, permissions, agents; withdraw, log out everywhere, hold. No card is needed for any of it.

It is shown for a while after a login with the card on the same machine as this browser (`login.account_s`): one that a
live relay brought about (mode remote) would show a stranger everything.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from sqlalchemy import Connection, delete, func, select

from identity_oidc.authentication.agents import end_agent
from identity_oidc.authentication.holds import is_held, place_hold
from identity_oidc.authentication.session import BrowserSession
from identity_oidc.claims import ACR_LOCAL, satisfies
from identity_oidc.consent.text import claim_label
from identity_oidc.errors import PageError
from identity_oidc.logout.ending import end_identity, end_session, end_sessions_of_person, withdraw
from identity_oidc.provider import Provider
from identity_oidc.store.database import record_act
from identity_oidc.store.schema import AGENTS, BLOCKED_APPS, DENIALS, GRANTS, RELEASES, SESSIONS
from identity_oidc.views.texts import browser_in, texts_in
from identity_oidc.views.web import browser_session, check_csrf, language_of_browser, page, provider, redirect

account = Blueprint("account", __name__)
_MOST = 100
_MOST_GRANTS = 1_000
_MOST_DENIALS = 20


@account.get("/account")
def account_page() -> Response:
    """Everything that is kept of this person's logins."""
    parts = provider()
    with parts.database.reading() as connection:
        session = browser_session(connection)
        if session is None or not _is_recent(parts, session):
            return page("account_closed.html")
        language = language_of_browser()
        content = _content(connection, session, language, parts.now())
    return page("account.html", language=language, csrf_token=session.csrf_token, **content)


@account.post("/account/withdraw")
def withdraw_grant() -> Response:
    with provider().database.writing() as connection:
        session = _own(connection)
        withdraw(connection, session.person or "", _sent("client_id", 128), provider().now())
    return _back()


@account.post("/account/session")
def end_one_session() -> Response:
    with provider().database.writing() as connection:
        session = _own(connection)
        chosen = _sent("session_id", 64)
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
        now, chosen = provider().now(), _sent("agent_id", 64)
        if session.identity is not None and end_agent(connection, chosen, session.identity, now):
            record_act(connection, now, "agent-ended", agent=chosen)
    return _back()


@account.post("/account/unblock")
def unblock() -> Response:
    with provider().database.writing() as connection:
        session = _own(connection)
        mine = BLOCKED_APPS.c.identity == session.identity
        chosen = BLOCKED_APPS.c.client_id == _sent("client_id", 128)
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
        raise PageError("Log in with your SIM again, on this device, then come back to this page.")
    return session


def _sent(name: str, most: int) -> str:
    """A field of the form; empty where it is none that a page of ours has sent."""
    value = request.form.get(name, "")
    return value if len(value) <= most and value.isprintable() else ""


def _is_recent(parts: Provider, session: BrowserSession) -> bool:
    if session.identity is None or session.auth_time is None or session.acr is None:
        return False
    if not satisfies(session.acr, ACR_LOCAL):
        return False
    return parts.now() - session.auth_time <= parts.config.login.account_s


def _back() -> Response:
    return redirect(f"{provider().config.issuer}/account?lang={language_of_browser()}")


def _ended(what: str) -> Response:
    """Says at once what was done: the session that could show it is over."""
    texts = texts_in(language_of_browser())
    return page("account_ended.html", title=texts[f"{what}_title"], text=texts[f"{what}_text"])


def _content(connection: Connection, session: BrowserSession, language: str, now: int) -> dict[str, Any]:
    person, identity = session.person, session.identity
    is_live = SESSIONS.c.person == person, SESSIONS.c.ended_at.is_(None), SESSIONS.c.expires_at > now
    live = select(SESSIONS).where(*is_live).limit(_MOST)
    is_enrolled = AGENTS.c.identity == identity, AGENTS.c.revoked_at.is_(None), AGENTS.c.expires_at > now
    agents = select(AGENTS).where(*is_enrolled).limit(_MOST)
    denials = (
        select(DENIALS).where(DENIALS.c.identity == identity).order_by(DENIALS.c.denied_at.desc()).limit(_MOST_DENIALS)
    )
    blocked = select(BLOCKED_APPS.c.client_id).where(BLOCKED_APPS.c.identity == identity).limit(_MOST)
    return {
        "sessions": [
            {
                "id": row["session_id"],
                "browser": browser_in(language, row["browser"]),
                "since": _time(row["auth_time"] or row["created_at"]),
                "is_this": row["session_id"] == session.session_id,
            }
            for row in connection.execute(live).mappings()
        ],
        "grants": _permissions(connection, str(person), language, now),
        "denials": [
            {"app": row["app_name"], "browser": browser_in(language, row["browser"]), "at": _time(row["denied_at"])}
            for row in connection.execute(denials).mappings()
        ],
        "agents": [
            {"id": row["agent_id"], "label": row["label"], "last": _time(row["last_seen_at"])}
            for row in connection.execute(agents).mappings()
        ],
        "blocked": list(connection.execute(blocked).scalars()),
        "is_held": identity is not None and is_held(connection, identity),
    }


def _permissions(connection: Connection, person: str, language: str, now: int) -> list[dict[str, Any]]:
    """One for each app: each login leaves a grant of its own, and what lives of them is withdrawn together."""
    wanted = (
        select(GRANTS, func.count(RELEASES.c.release_id).label("times"), func.max(RELEASES.c.released_at).label("last"))
        .outerjoin(RELEASES, RELEASES.c.grant_id == GRANTS.c.grant_id)
        .where(GRANTS.c.person == person, GRANTS.c.withdrawn_at.is_(None), GRANTS.c.expires_at > now)
        .group_by(GRANTS.c.grant_id)
        .order_by(GRANTS.c.created_at.desc())
        .limit(_MOST_GRANTS)
    )
    of_apps: dict[str, list[Any]] = {}
    for row in connection.execute(wanted).mappings():
        of_apps.setdefault(row["client_id"], []).append(row)
    found = []
    for client_id, rows in of_apps.items():
        granted = {name for row in rows for name in row["granted"]}
        last = max((row["last"] for row in rows if row["last"]), default=0)
        found.append(
            {
                "client_id": client_id,
                "controller": rows[0]["controller"],
                "granted": [claim_label(name, language) for name in sorted(granted)],
                "refused": [claim_label(name, language) for name in rows[0]["refused"]],
                "since": _time(min(row["created_at"] for row in rows)),
                "until": _time(max(row["expires_at"] for row in rows)),
                "times": sum(row["times"] for row in rows),
                "last": _time(last) if last else "",
            }
        )
    return found


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
