"""Sessions of browsers: a random secret in a `__Host-` cookie, kept here as its digest, and changed at each login."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, select, update

from identity_oidc import base64url
from identity_oidc.ports import IdentityId
from identity_oidc.store.schema import SESSIONS
from identity_oidc.store.statement import Statement, given, insertion

COOKIE: Final = "__Host-tally-session"
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_FIND: Final = Statement(select(SESSIONS).where(SESSIONS.c.secret_hash == given(SESSIONS.c.secret_hash)))
_BEGIN: Final = Statement(insertion(SESSIONS, "identity", "person", "auth_time", "acr", "ended_at"))
_LOG_IN: Final = Statement(
    update(SESSIONS)
    .where(
        SESSIONS.c.session_id == given(SESSIONS.c.session_id),
        SESSIONS.c.secret_hash == given(SESSIONS.c.secret_hash, "old_secret_hash"),
        SESSIONS.c.ended_at.is_(None),
    )
    .values(
        {
            name: given(SESSIONS.c[name])
            for name in ("secret_hash", "identity", "person", "auth_time", "acr", "expires_at")
        }
    )
)
UNKNOWN_BROWSER: Final = "unknown browser"
_BROWSERS: Final = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A browser that began something here; it is logged in where `identity` is set. `secret` is the cookie's value."""

    session_id: str
    secret: str
    identity: IdentityId | None
    person: str | None
    auth_time: int | None
    acr: str | None
    browser: str

    @property
    def secret_hash(self) -> bytes:
        return base64url.digest(self.secret)

    @property
    def csrf_token(self) -> str:
        """What a form of ours carries: only pages of this session can know it."""
        return base64url.encode(sha256(b"tally-csrf-1" + self.secret.encode("ascii")).digest())


def find_session(connection: Connection, cookie: str | None, now: int) -> BrowserSession | None:
    """The session of a cookie; None where there is none, or it is over."""
    if cookie is None or not _SECRET.fullmatch(cookie):
        return None
    row = _FIND.first(connection, secret_hash=base64url.digest(cookie))
    if row is None or row["ended_at"] is not None or row["expires_at"] <= now:
        return None
    return _session(row, cookie)


def begin_session(connection: Connection, user_agent: str, now: int, lifetime_s: int) -> BrowserSession:
    """A session of nobody yet."""
    session_id, secret = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
    browser = browser_name(user_agent)
    _BEGIN.changed(
        connection,
        session_id=session_id,
        secret_hash=base64url.digest(secret),
        browser=browser,
        created_at=now,
        expires_at=now + lifetime_s,
    )
    return BrowserSession(session_id, secret, None, None, None, None, browser)


def log_in(  # noqa: PLR0917  what a login is
    connection: Connection,
    session: BrowserSession,
    identity: IdentityId,
    person: str,
    acr: str,
    now: int,
    lifetime_s: int,
) -> BrowserSession | None:
    """The session with another secret and logged in; None where its secret was changed meanwhile.

    A session of somebody else is not taken over: end it before.
    """
    secret = secrets.token_urlsafe(32)
    changed = _LOG_IN.changed(
        connection,
        session_id=session.session_id,
        old_secret_hash=session.secret_hash,
        secret_hash=base64url.digest(secret),
        identity=identity,
        person=person,
        auth_time=now,
        acr=acr,
        expires_at=now + lifetime_s,
    )
    if changed != 1:
        return None
    return BrowserSession(session.session_id, secret, identity, person, now, acr, session.browser)


def renew_session(connection: Connection, session: BrowserSession, now: int, lifetime_s: int) -> BrowserSession:
    """A session of nobody in the same browser, after another person's was ended."""
    fresh = begin_session(connection, "", now, lifetime_s)
    named = update(SESSIONS).where(SESSIONS.c.session_id == fresh.session_id).values(browser=session.browser)
    connection.execute(named)
    return replace(fresh, browser=session.browser)


def browser_name(user_agent: str) -> str:
    """Such as `Firefox on Linux`: for the person to recognise, and no more exact than that."""
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    return f"{browser} on {system}" if browser and system else browser or system or UNKNOWN_BROWSER


def _session(row: Mapping[Any, Any], secret: str) -> BrowserSession:
    return BrowserSession(
        session_id=row["session_id"],
        secret=secret,
        identity=IdentityId(row["identity"]) if row["identity"] is not None else None,
        person=row["person"],
        auth_time=row["auth_time"],
        acr=row["acr"],
        browser=row["browser"],
    )
