"""What persons stop here: their identity (at once, and on the ledger when the operator places it), and single apps."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, insert, select

from identity_oidc.store.database import record_act
from identity_oidc.store.schema import BLOCKED_APPS, HOLDS
from identity_oidc.store.statement import Statement, given

_FIND_HOLD: Final = Statement(select(HOLDS.c.placed_at).where(HOLDS.c.identity == given(HOLDS.c.identity)))
_FIND_BLOCKED: Final = Statement(
    select(BLOCKED_APPS.c.blocked_at).where(
        BLOCKED_APPS.c.identity == given(BLOCKED_APPS.c.identity),
        BLOCKED_APPS.c.client_id == given(BLOCKED_APPS.c.client_id),
    )
)


def is_held(connection: Connection, identity: bytes) -> bool:
    """Whether the person has this identity held here."""
    return _FIND_HOLD.first(connection, identity=identity) is not None


def is_blocked(connection: Connection, identity: bytes, client_id: str) -> bool:
    """Whether the person blocked this app at an agent."""
    return _FIND_BLOCKED.first(connection, identity=identity, client_id=client_id) is not None


def place_hold(connection: Connection, identity: bytes, now: int, reason: str) -> None:
    """Hold it from now on; sessions and tokens are ended by who calls (`ending.end_identity`)."""
    if not is_held(connection, identity):
        connection.execute(insert(HOLDS).values(identity=identity, placed_at=now))
    record_act(connection, now, "hold-asked", reason=reason)


def lift_hold(connection: Connection, identity: bytes, now: int) -> bool:
    """Whether there was a hold to lift: for the operator, who has made sure that it is the person who asks."""
    lifted = connection.execute(delete(HOLDS).where(HOLDS.c.identity == identity)).rowcount == 1
    if lifted:
        record_act(connection, now, "hold-lifted")
    return bool(lifted)
