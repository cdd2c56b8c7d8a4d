"""Follows the ledger's feed of identities: who may log in no more is logged out, within two blocks and a poll."""

from __future__ import annotations

import logging
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from identity_oidc.logout.ending import end_identity
from identity_oidc.ports import IdentityChange
from identity_oidc.provider import Provider
from identity_oidc.store.schema import CURSORS, HOLDS

FOLLOWED: Final = "identities"
"""Name of the cursor in the store."""
_HARMLESS: Final = frozenset({"registered", "activated", "released", "replacement-cancelled"})
_HOLDING: Final = frozenset({"held", "replacement-started"})
"""After a hold the same key is good again; after anything else its agents must be vouched for anew."""

log = logging.getLogger(__name__)


class Follower:
    """One a housekeeping process; several instances may follow at once, as each act can be done twice without harm."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def advance(self) -> int:
        """Read the feed to its end; how many changes there were. Raises `LedgerStaleError`, `StorageError`."""
        done = 0
        while True:
            after = self._cursor()
            page = self._provider.ledger.changes(after)
            if not page.changes:
                return done
            with self._provider.database.writing() as connection:
                now = self._provider.now()
                for change in page.changes:
                    _apply(connection, change, now)
                _store(connection, page.cursor, now)
            done += len(page.changes)

    def _cursor(self) -> str:
        with self._provider.database.reading() as connection:
            found = connection.execute(select(CURSORS.c.value).where(CURSORS.c.name == FOLLOWED)).scalar()
        return str(found or "")


def _apply(connection: Connection, change: IdentityChange, now: int) -> None:
    mine = HOLDS.c.identity == change.identity
    if change.kind == "held":
        connection.execute(update(HOLDS).where(mine).values(on_ledger_at=now))
    if change.kind == "released":  # the hold that a person asked for here came to the ledger, and was lifted there
        connection.execute(delete(HOLDS).where(mine, HOLDS.c.on_ledger_at.is_not(None)))
    if change.kind not in _HARMLESS:
        end_identity(connection, change.identity, now, with_agents=change.kind not in _HOLDING)


def _store(connection: Connection, cursor: str, now: int) -> None:
    changed = connection.execute(update(CURSORS).where(CURSORS.c.name == FOLLOWED).values(value=cursor, updated_at=now))
    if changed.rowcount == 0:
        connection.execute(insert(CURSORS).values(name=FOLLOWED, value=cursor, updated_at=now))
