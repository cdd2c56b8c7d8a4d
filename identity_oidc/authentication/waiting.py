"""What the page of a login that waits may know, one login at a time or all that wait at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, or_, select

from identity_oidc.authentication.challenge import REMOTE
from identity_oidc.store.schema import CHALLENGES, REQUESTS, SESSIONS
from identity_oidc.store.statement import Statement, given

WAITING: Final = "waiting"
GONE: Final = "gone"
_BATCH: Final = 100  # the interpreter's lock is held for one batch at most, while requests are answered
_PLACES: Final = tuple(f"jti_{number}" for number in range(_BATCH))


def public_state(challenge: Mapping[str, Any], now: int) -> str:
    """`waiting`, `done` or `over`. In mode local it is never `done`: there the page does not advance by itself."""
    state, mode = challenge["state"], challenge["mode"]
    if state == "approved":
        return "done" if mode == REMOTE else WAITING
    is_live = state in {"waiting", "fetched"} and challenge["expires_at"] > now
    return WAITING if is_live else "over"


def news_of(connection: Connection, waiting: Collection[str], now: int) -> dict[str, str]:
    """Of these challenges those that wait no more, with `done`, `over`, or `gone` for what this page does not end."""
    news: dict[str, str] = {}
    every = list(waiting)
    for start in range(0, len(every), _BATCH):
        batch = every[start : start + _BATCH]
        filled = (batch + batch[-1:] * _BATCH)[:_BATCH]
        for row in _MOVED.rows(connection, now=now, **dict(zip(_PLACES, filled, strict=True))):
            word = GONE if row["is_gone"] else public_state(row, now)
            if word != WAITING:
                news[row["jti"]] = word
    return news


def _moved() -> Select[Any]:
    """Rows of these challenges that may have news; little is read as long as everybody waits."""
    now = given(CHALLENGES.c.expires_at, "now")
    is_bound = and_(
        SESSIONS.c.session_id == CHALLENGES.c.session_id,
        SESSIONS.c.secret_hash == CHALLENGES.c.session_hash,
        SESSIONS.c.ended_at.is_(None),
    )
    is_live = and_(or_(CHALLENGES.c.state == "waiting", CHALLENGES.c.state == "fetched"), CHALLENGES.c.expires_at > now)
    is_gone = or_(SESSIONS.c.session_id.is_(None), REQUESTS.c.completed_at.is_not(None), REQUESTS.c.expires_at <= now)
    return (
        select(
            CHALLENGES.c.jti,
            CHALLENGES.c.state,
            CHALLENGES.c.mode,
            CHALLENGES.c.expires_at,
            is_gone.label("is_gone"),
        )
        .join(REQUESTS, REQUESTS.c.request_id == CHALLENGES.c.request_id)
        .outerjoin(SESSIONS, is_bound)
        .where(CHALLENGES.c.jti.in_([given(CHALLENGES.c.jti, name) for name in _PLACES]), or_(is_gone, ~is_live))
    )


_MOVED: Final = Statement(_moved())
