"""Access and refresh tokens: random, kept as digests, good while their family and grant are.

Refresh tokens are used once; one that comes again ends its family. Source: RFC 9700 §4.14.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from identity_oidc import base64url
from identity_oidc.store.schema import ACCESS_TOKENS, FAMILIES, GRANTS, REFRESH_TOKENS, SESSIONS
from identity_oidc.tokens.codes import Family


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
    row = {
        "token_hash": base64url.digest(token),
        "family_id": family_id,
        "scope": scope,
        "issued_at": now,
        "expires_at": now + lifetime_s,
    }
    connection.execute(insert(ACCESS_TOKENS).values(row))


def store_refresh_token(connection: Connection, token: str, family_id: str, *, now: int, lifetime_s: int) -> None:
    """Keep a token that was just made."""
    row = {
        "token_hash": base64url.digest(token),
        "family_id": family_id,
        "issued_at": now,
        "expires_at": now + lifetime_s,
    }
    connection.execute(insert(REFRESH_TOKENS).values(row))


def find_access_token(connection: Connection, token: str, now: int) -> StoredToken | None:
    """An access token, live or not."""
    return _find(connection, ACCESS_TOKENS, "access_token", token, now)


def find_refresh_token(connection: Connection, token: str, now: int) -> StoredToken | None:
    """A refresh token, live or not, used or not."""
    return _find(connection, REFRESH_TOKENS, "refresh_token", token, now)


def use_refresh_token(connection: Connection, token: StoredToken, now: int) -> bool:
    """Whether this was the first use."""
    mine = REFRESH_TOKENS.c.token_hash == token.token_hash, REFRESH_TOKENS.c.used_at.is_(None)
    return bool(connection.execute(update(REFRESH_TOKENS).where(*mine).values(used_at=now)).rowcount == 1)


def revoke_access_token(connection: Connection, token: StoredToken, now: int) -> None:
    """End one access token."""
    mine = ACCESS_TOKENS.c.token_hash == token.token_hash
    connection.execute(update(ACCESS_TOKENS).where(mine).values(revoked_at=now))


def _find(connection: Connection, table: Any, kind: str, token: str, now: int) -> StoredToken | None:
    wanted = (
        select(
            table,
            FAMILIES,
            GRANTS.c.withdrawn_at.label("grant_withdrawn_at"),
            GRANTS.c.expires_at.label("grant_expires_at"),
            SESSIONS.c.ended_at.label("session_ended_at"),
        )
        .join(FAMILIES, FAMILIES.c.family_id == table.c.family_id)
        .join(GRANTS, GRANTS.c.grant_id == FAMILIES.c.grant_id)
        .outerjoin(SESSIONS, SESSIONS.c.session_id == FAMILIES.c.session_id)
        .where(table.c.token_hash == base64url.digest(token))
    )
    row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    split = len(table.c)
    own = dict(zip(table.c.keys(), row[:split], strict=True))
    family = Family.of(dict(zip(FAMILIES.c.keys(), row[split : split + len(FAMILIES.c)], strict=True)))
    return StoredToken(
        token_hash=own["token_hash"],
        kind=kind,
        family=family,
        scope=own.get("scope", family.scope),
        issued_at=own["issued_at"],
        expires_at=own["expires_at"],
        used_at=own.get("used_at"),
        is_live=_is_live(own, family, row._mapping, now),
    )


def _is_live(own: Mapping[str, Any], family: Family, row: Mapping[Any, Any], now: int) -> bool:
    is_over = own["expires_at"] <= now or own.get("revoked_at") is not None or family.revoked_at is not None
    is_withdrawn = row["grant_withdrawn_at"] is not None or row["grant_expires_at"] <= now
    is_logged_out = row["session_ended_at"] is not None and not family.is_offline
    return not (is_over or is_withdrawn or is_logged_out)
