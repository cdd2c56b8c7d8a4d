"""Throwing away what has run out, a bounded number of rows at a time, so that the database does not grow with logins.

Approvals, grants, releases and the audit log stay: they are the record.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Table, delete, exists, select
from sqlalchemy.sql.elements import ColumnElement

from identity_oidc.store.database import Database
from identity_oidc.store.schema import (
    ACCESS_TOKENS,
    CLIENT_SESSIONS,
    CODES,
    DENIALS,
    FAMILIES,
    LOGOUT_QUEUE,
    REFRESH_TOKENS,
    REQUESTS,
    SEEN,
    SESSIONS,
)

BATCH: Final = 1_000
KEEP_S: Final = 3_600
"""How long a used code, an ended session and a sent notice stay, so that their second use is noticed."""
KEEP_DENIALS_S: Final = 90 * 86_400
"""How long a person sees logins that somebody else began."""


def sweep(database: Database, now: int) -> int:
    """Delete one batch of each kind; how many rows went. Raises `StorageError`."""
    before = now - KEEP_S
    long_ago = now - KEEP_DENIALS_S
    live_refresh = exists().where(REFRESH_TOKENS.c.family_id == FAMILIES.c.family_id)
    live_code = exists().where(CODES.c.family_id == FAMILIES.c.family_id)
    live_access = exists().where(ACCESS_TOKENS.c.family_id == FAMILIES.c.family_id)
    live_session = exists().where(SESSIONS.c.session_id == CLIENT_SESSIONS.c.session_id)
    old: tuple[tuple[Table, Any, ColumnElement[bool]], ...] = (
        (SEEN, SEEN.c.value_hash, SEEN.c.expires_at < now),
        (REQUESTS, REQUESTS.c.request_id, REQUESTS.c.expires_at < before),
        (CODES, CODES.c.code_hash, CODES.c.expires_at < before),
        (ACCESS_TOKENS, ACCESS_TOKENS.c.token_hash, ACCESS_TOKENS.c.expires_at < before),
        (REFRESH_TOKENS, REFRESH_TOKENS.c.token_hash, REFRESH_TOKENS.c.expires_at < before),
        (
            FAMILIES,
            FAMILIES.c.family_id,
            (FAMILIES.c.created_at < before) & ~live_refresh & ~live_code & ~live_access,
        ),
        (SESSIONS, SESSIONS.c.session_id, SESSIONS.c.expires_at < before),
        (CLIENT_SESSIONS, CLIENT_SESSIONS.c.sid, (CLIENT_SESSIONS.c.created_at < before) & ~live_session),
        (LOGOUT_QUEUE, LOGOUT_QUEUE.c.notice_id, LOGOUT_QUEUE.c.done_at < before),
        (DENIALS, DENIALS.c.denial_id, DENIALS.c.denied_at < long_ago),
    )
    swept = 0
    for table, key, is_old in old:
        with database.writing() as connection:
            swept += _delete(connection, table, key, is_old)
    return swept


def _delete(connection: Connection, table: Table, key: Any, is_old: ColumnElement[bool]) -> int:
    batch = select(key).where(is_old).limit(BATCH).scalar_subquery()
    return int(connection.execute(delete(table).where(key.in_(batch))).rowcount)
