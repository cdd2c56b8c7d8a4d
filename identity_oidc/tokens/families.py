"""Ending tokens: by family, grant, session or identity. An access token is good while its family is."""

from __future__ import annotations

from sqlalchemy import Connection, select, update
from sqlalchemy.sql.elements import ColumnElement

from identity_oidc.store.schema import FAMILIES
from identity_oidc.tokens.codes import Family


def find_family(connection: Connection, family_id: str) -> Family | None:
    """A family, revoked or not."""
    row = connection.execute(select(FAMILIES).where(FAMILIES.c.family_id == family_id)).mappings().one_or_none()
    return None if row is None else Family.of(row)


def revoke_family(connection: Connection, family_id: str, now: int) -> int:
    """End one family; how many that were."""
    return _revoke(connection, FAMILIES.c.family_id == family_id, now)


def revoke_by_grant(connection: Connection, grant_id: str, now: int) -> int:
    """End what was issued under a grant."""
    return _revoke(connection, FAMILIES.c.grant_id == grant_id, now)


def revoke_by_session(connection: Connection, session_id: str, now: int, client_id: str | None = None) -> int:
    """End what hangs on a browser's session; what the person granted beyond it (offline_access) stays."""
    wanted = (FAMILIES.c.session_id == session_id) & FAMILIES.c.is_offline.is_(False)
    if client_id is not None:
        wanted &= FAMILIES.c.client_id == client_id
    return _revoke(connection, wanted, now)


def revoke_by_identity(connection: Connection, identity: bytes, now: int) -> int:
    """End everything of an identity."""
    return _revoke(connection, FAMILIES.c.identity == identity, now)


def _revoke(connection: Connection, wanted: ColumnElement[bool], now: int) -> int:
    changed = connection.execute(update(FAMILIES).where(wanted, FAMILIES.c.revoked_at.is_(None)).values(revoked_at=now))
    return int(changed.rowcount)
