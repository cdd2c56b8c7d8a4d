"""Throwing away what has run out, a bounded number of rows at a time, so that the database does not grow with logins.

What is old is looked for without a lock and deleted by its keys, so that nobody who writes waits longer than that
takes, however much is kept; nothing old comes to life again meanwhile. A family of tokens goes with the last of them,
and the apps' parts of a session with it. Approvals, grants, releases and the audit log stay: they are the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, delete, exists, select, tuple_
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
_OF_FAMILIES: Final = (CODES, ACCESS_TOKENS, REFRESH_TOKENS)


def sweep(database: Database, now: int) -> int:
    """Delete one batch of each kind; how many rows went. Raises `StorageError`."""
    before = now - KEEP_S
    old: tuple[tuple[Table, ColumnElement[bool]], ...] = (
        (SEEN, SEEN.c.expires_at < now),
        (REQUESTS, REQUESTS.c.expires_at < before),
        *((table, table.c.expires_at < before) for table in _OF_FAMILIES),
        (SESSIONS, SESSIONS.c.expires_at < before),
        (LOGOUT_QUEUE, LOGOUT_QUEUE.c.done_at < before),
        (DENIALS, DENIALS.c.denied_at < now - KEEP_DENIALS_S),
    )
    return sum(_sweep(database, table, is_old) for table, is_old in old)


def _sweep(database: Database, table: Table, is_old: ColumnElement[bool]) -> int:
    keys = list(table.primary_key.columns)
    wanted: list[Column[Any]] = [*keys, *([table.c.family_id] if table in _OF_FAMILIES else [])]
    with database.reading() as connection:
        rows = connection.execute(select(*wanted).where(is_old).limit(BATCH)).all()
    if not rows:
        return 0
    with database.writing() as connection:
        went = _delete(connection, table, keys, [tuple(row)[: len(keys)] for row in rows])
        if table in _OF_FAMILIES:
            _delete_empty_families(connection, sorted({row.family_id for row in rows}))
        if table is SESSIONS:
            parts = CLIENT_SESSIONS.c.session_id.in_([row.session_id for row in rows])
            connection.execute(delete(CLIENT_SESSIONS).where(parts))
    return went


def _delete(connection: Connection, table: Table, keys: list[Column[Any]], values: Sequence[tuple[Any, ...]]) -> int:
    is_mine = keys[0].in_([value for (value,) in values]) if len(keys) == 1 else tuple_(*keys).in_(values)
    return int(connection.execute(delete(table).where(is_mine)).rowcount)


def _delete_empty_families(connection: Connection, family_ids: Sequence[str]) -> None:
    is_empty = [~exists().where(table.c.family_id == FAMILIES.c.family_id) for table in _OF_FAMILIES]
    connection.execute(delete(FAMILIES).where(FAMILIES.c.family_id.in_(family_ids), *is_empty))
