"""Grants: what a person agreed to for an app, with the approval that proves it; and every release of data under one.

Source: R-DATA-1.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, update

from identity_oidc import base64url
from identity_oidc.clients import Client
from identity_oidc.store.database import record_act
from identity_oidc.store.schema import GRANTS, RELEASES
from identity_oidc.store.statement import Statement, given, insertion

_STORE: Final = Statement(insertion(GRANTS, "withdrawn_at"))
_FIND: Final = Statement(
    select(GRANTS).where(
        GRANTS.c.grant_id == given(GRANTS.c.grant_id),
        GRANTS.c.withdrawn_at.is_(None),
        GRANTS.c.expires_at > given(GRANTS.c.expires_at, "now"),
    )
)
_RECORD_RELEASE: Final = Statement(insertion(RELEASES, "release_id"))

ONCE_S: Final = 86_400
"""A grant "for this login only" ends with the session, and no later than this."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A live grant."""

    grant_id: str
    person: str
    client_id: str
    sub: str
    granted: tuple[str, ...]
    refused: tuple[str, ...]

    def covers(self, items: Collection[str]) -> bool:
        """Whether the person was asked for all of these, whatever the answer was."""
        return set(items) <= {*self.granted, *self.refused}


def store_grant(connection: Connection, challenge: Mapping[str, Any], client: Client, now: int) -> Grant:
    """The grant that an approved challenge makes; earlier ones that gave this app what is refused now end with it."""
    fetched = challenge["fetched"]
    request = fetched["request"]
    asked = [item["name"] for item in request["items"]]
    granted = tuple(challenge["granted"])
    grant = Grant(
        grant_id=secrets.token_urlsafe(18),
        person=challenge["person"],
        client_id=client.client_id,
        sub=fetched["sub"],
        granted=granted,
        refused=tuple(name for name in asked if name not in granted),
    )
    if grant.refused:
        _end_wider(connection, grant, now)
    row = {
        "grant_id": grant.grant_id,
        "person": grant.person,
        "identity": challenge["identity"],
        "client_id": client.client_id,
        "sub": grant.sub,
        "controller": client.name,
        "granted": list(granted),
        "refused": list(grant.refused),
        "purpose": {"": request["purpose"]} | {item["name"]: item["purpose"] for item in request["items"]},
        "language": fetched["language"],
        "text_digest": base64url.parse(fetched["text_digest"]),
        "approval": challenge["jti"],
        "created_at": now,
        "expires_at": request["grant_expires_at"] or now + ONCE_S,
    }
    _STORE.changed(connection, **row)
    return grant


def _end_wider(connection: Connection, grant: Grant, now: int) -> None:
    """What a person refuses is not released by what an older login left with the app either."""
    live = GRANTS.c.person == grant.person, GRANTS.c.client_id == grant.client_id, GRANTS.c.withdrawn_at.is_(None)
    earlier = connection.execute(select(GRANTS.c.grant_id, GRANTS.c.granted).where(*live, GRANTS.c.expires_at > now))
    for grant_id in [row.grant_id for row in earlier if set(row.granted) & set(grant.refused)]:
        connection.execute(update(GRANTS).where(GRANTS.c.grant_id == grant_id).values(withdrawn_at=now))
        record_act(connection, now, "grant-narrowed", client=grant.client_id)


def find_grant(connection: Connection, grant_id: str, now: int) -> Grant | None:
    """A grant that was neither withdrawn nor has run out."""
    row = _FIND.first(connection, grant_id=grant_id, now=now)
    if row is None:
        return None
    return Grant(
        grant_id=row["grant_id"],
        person=row["person"],
        client_id=row["client_id"],
        sub=row["sub"],
        granted=tuple(row["granted"]),
        refused=tuple(row["refused"]),
    )


def record_release(connection: Connection, grant: Grant, items: Collection[str], channel: str, now: int) -> None:
    """Say which data went to the app, and how; names only, never values."""
    _RECORD_RELEASE.changed(
        connection,
        grant_id=grant.grant_id,
        client_id=grant.client_id,
        items=sorted(items),
        channel=channel,
        released_at=now,
    )


def withdraw_grants(connection: Connection, person: str, client_id: str, now: int) -> list[str]:
    """End all grants of a person to an app; their ids. Their tokens end with `tokens.families`."""
    live = GRANTS.c.person == person, GRANTS.c.client_id == client_id, GRANTS.c.withdrawn_at.is_(None)
    found = list(connection.execute(select(GRANTS.c.grant_id).where(*live)).scalars())
    connection.execute(update(GRANTS).where(*live).values(withdrawn_at=now))
    return found
