"""Ending sessions, and with them tokens, codes and challenges; each app concerned is told through the durable queue."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from identity_oidc.authentication.challenge import end_challenges
from identity_oidc.consent.grants import withdraw_grants
from identity_oidc.store.database import record_act
from identity_oidc.store.schema import AGENTS, CLIENT_SESSIONS, LOGOUT_QUEUE, SESSIONS
from identity_oidc.tokens.families import revoke_by_grant, revoke_by_identity, revoke_by_session


def end_session(connection: Connection, session_id: str, now: int) -> bool:
    """End a browser's session everywhere; whether there was one to end."""
    live = SESSIONS.c.session_id == session_id, SESSIONS.c.ended_at.is_(None)
    if connection.execute(update(SESSIONS).where(*live).values(ended_at=now)).rowcount != 1:
        return False
    _end_client_sessions(connection, [session_id], now)
    revoke_by_session(connection, session_id, now)
    record_act(connection, now, "session-ended", session=session_id)
    return True


def end_sessions_of_person(connection: Connection, person: str, now: int) -> int:
    """Log out everywhere; how many sessions ended."""
    wanted = SESSIONS.c.person == person, SESSIONS.c.ended_at.is_(None)
    found = list(connection.execute(select(SESSIONS.c.session_id).where(*wanted)).scalars())
    return sum(end_session(connection, session_id, now) for session_id in found)


def end_identity(connection: Connection, identity: bytes, now: int, *, with_agents: bool) -> int:
    """End sessions, codes, tokens and challenges of an identity that may log in no more; how many sessions ended.

    With another key, or none any more, the agents that the old key vouched for end too. Challenges come first: a login
    that is being completed at another instance (PostgreSQL) is waited for there, and its session and tokens are seen.
    """
    waiting = end_challenges(connection, identity)
    wanted = SESSIONS.c.identity == identity, SESSIONS.c.ended_at.is_(None)
    found = list(connection.execute(select(SESSIONS.c.session_id).where(*wanted)).scalars())
    ended = sum(end_session(connection, session_id, now) for session_id in found)
    tokens = revoke_by_identity(connection, identity, now)
    if with_agents:
        mine = AGENTS.c.identity == identity, AGENTS.c.revoked_at.is_(None)
        connection.execute(update(AGENTS).where(*mine).values(revoked_at=now))
    if ended or tokens or waiting:
        record_act(connection, now, "identity-ended", sessions=ended, tokens=tokens, challenges=waiting)
    return ended


def withdraw(connection: Connection, person: str, client_id: str, now: int) -> bool:
    """Withdraw a person's grants to an app: its tokens end, and it is told. Needs no card."""
    grants = withdraw_grants(connection, person, client_id, now)
    for grant_id in grants:
        revoke_by_grant(connection, grant_id, now)
    if not grants:
        return False
    sessions = select(SESSIONS.c.session_id).where(SESSIONS.c.person == person)
    wanted = CLIENT_SESSIONS.c.session_id.in_(sessions), CLIENT_SESSIONS.c.client_id == client_id
    for row in connection.execute(select(CLIENT_SESSIONS.c.sid, CLIENT_SESSIONS.c.sub).where(*wanted)).all():
        enqueue_notice(connection, client_id, row.sub, row.sid, now)
    connection.execute(update(CLIENT_SESSIONS).where(*wanted).values(ended_at=now))
    record_act(connection, now, "grant-withdrawn", client=client_id, grants=len(grants))
    return True


def enqueue_notice(connection: Connection, client_id: str, sub: str, sid: str | None, now: int) -> None:
    """Tell an app of the end, as soon as it can be reached."""
    row = {
        "notice_id": secrets.token_urlsafe(18),
        "client_id": client_id,
        "sub": sub,
        "sid": sid,
        "attempts": 0,
        "due_at": now,
        "outcome": "",
        "created_at": now,
    }
    connection.execute(insert(LOGOUT_QUEUE).values(row))


def _end_client_sessions(connection: Connection, session_ids: Sequence[str], now: int) -> None:
    live = CLIENT_SESSIONS.c.session_id.in_(session_ids), CLIENT_SESSIONS.c.ended_at.is_(None)
    for row in connection.execute(select(CLIENT_SESSIONS).where(*live)).mappings().all():
        enqueue_notice(connection, row["client_id"], row["sub"], row["sid"], now)
    connection.execute(update(CLIENT_SESSIONS).where(*live).values(ended_at=now))
