"""Access and refresh tokens: random, kept as digests, good while their family and grant are.

Refresh tokens are used once; one that comes again ends its family. Source: RFC 9700 §4.14.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, select, update

from identity_oidc import base64url
from identity_oidc.store.schema import ACCESS_TOKENS, FAMILIES, GRANTS, REFRESH_TOKENS, SESSIONS
from identity_oidc.store.statement import Row, Statement, given, insertion
from identity_oidc.tokens.codes import Family

_STORE_ACCESS_TOKEN: Final = Statement(insertion(ACCESS_TOKENS, "revoked_at"))
_STORE_REFRESH_TOKEN: Final = Statement(insertion(REFRESH_TOKENS, "used_at"))


def _finder(table: Table) -> Statement:
    """A token with its family, and of its grant and its session what tells whether they are over."""

    def own() -> Iterator[Column[Any]]:
        for column in table.c:
            yield column.label(f"token_{column.key}")  # type: ignore[misc]  # a label is selected as a column is

    return Statement(
        select(
            FAMILIES,
            *own(),
            GRANTS.c.withdrawn_at.label("grant_withdrawn_at"),
            GRANTS.c.expires_at.label("grant_expires_at"),
            SESSIONS.c.ended_at.label("session_ended_at"),
        )
        .join(table, table.c.family_id == FAMILIES.c.family_id)
        .join(GRANTS, GRANTS.c.grant_id == FAMILIES.c.grant_id)
        .outerjoin(SESSIONS, SESSIONS.c.session_id == FAMILIES.c.session_id)
        .where(table.c.token_hash == given(table.c.token_hash))
    )


_FIND: Final = {"access_token": _finder(ACCESS_TOKENS), "refresh_token": _finder(REFRESH_TOKENS)}


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it is stored; `is_live` is False where it, its family, grant or session is over."""

    token_hash: bytes
    kind: str
    family: Family
    scope: str
    issued_at: int
    expires_at: int
    used_at: int | None
    is_live: bool

    # What Authlib's endpoints ask of a token.
    def check_client(self, client: Any) -> bool:
        return bool(client.get_client_id() == self.family.client_id)

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return not self.is_live

    def is_revoked(self) -> bool:
        return not self.is_live


def store_access_token(
    connection: Connection, token: str, family_id: str, scope: str, *, now: int, lifetime_s: int
) -> None:
    """Keep a token that was just made."""
    _STORE_ACCESS_TOKEN.changed(
        connection,
        token_hash=base64url.digest(token),
        family_id=family_id,
        scope=scope,
        issued_at=now,
        expires_at=now + lifetime_s,
    )


def store_refresh_token(connection: Connection, token: str, family_id: str, *, now: int, lifetime_s: int) -> None:
    """Keep a token that was just made."""
    _STORE_REFRESH_TOKEN.changed(
        connection,
        token_hash=base64url.digest(token),
        family_id=family_id,
        issued_at=now,
        expires_at=now + lifetime_s,
    )


def find_access_token(connection: Connection, token: str, now: int) -> StoredToken | None:
    """An access token, live or not."""
    return _find(connection, "access_token", token, now)


def find_refresh_token(connection: Connection, token: str, now: int) -> StoredToken | None:
    """A refresh token, live or not, used or not."""
    return _find(connection, "refresh_token", token, now)


def use_refresh_token(connection: Connection, token: StoredToken, now: int) -> bool:
    """Whether this was the first use."""
    mine = REFRESH_TOKENS.c.token_hash == token.token_hash, REFRESH_TOKENS.c.used_at.is_(None)
    return bool(connection.execute(update(REFRESH_TOKENS).where(*mine).values(used_at=now)).rowcount == 1)


def revoke_access_token(connection: Connection, token: StoredToken, now: int) -> None:
    """End one access token."""
    mine = ACCESS_TOKENS.c.token_hash == token.token_hash
    connection.execute(update(ACCESS_TOKENS).where(mine).values(revoked_at=now))


def _find(connection: Connection, kind: str, token: str, now: int) -> StoredToken | None:
    row = _FIND[kind].first(connection, token_hash=base64url.digest(token))
    if row is None:
        return None
    family = Family.of(row)
    return StoredToken(
        token_hash=row["token_token_hash"],
        kind=kind,
        family=family,
        scope=row.get("token_scope", family.scope),
        issued_at=row["token_issued_at"],
        expires_at=row["token_expires_at"],
        used_at=row.get("token_used_at"),
        is_live=_is_live(row, family, now),
    )


def _is_live(row: Row, family: Family, now: int) -> bool:
    is_over = row["token_expires_at"] <= now or row.get("token_revoked_at") is not None
    is_withdrawn = row["grant_withdrawn_at"] is not None or row["grant_expires_at"] <= now
    is_logged_out = row["session_ended_at"] is not None and not family.is_offline
    return not (is_over or family.revoked_at is not None or is_withdrawn or is_logged_out)
