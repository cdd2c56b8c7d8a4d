"""`sub`: 128 random bits for each person and sector, stored, never derived. Source: design "People"; R-ID-4.

It stays when a SIM is replaced, says nothing of the person, and is gone when its row is erased.
"""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import Connection, select

from identity_oidc.store.schema import SUBJECTS
from identity_oidc.store.statement import IGNORE_CONFLICT, Statement, given, insertion

SUB_BYTES: Final = 16
_FIND: Final = Statement(
    select(SUBJECTS.c.sub).where(
        SUBJECTS.c.person == given(SUBJECTS.c.person), SUBJECTS.c.sector == given(SUBJECTS.c.sector)
    )
)
_MAKE: Final = Statement(insertion(SUBJECTS), IGNORE_CONFLICT)


def subject_for(connection: Connection, person: str, sector: str, now: int) -> str:
    """The subject of a person in a sector; it is made when it is asked for the first time."""
    found = _FIND.first(connection, person=person, sector=sector)
    if found is None:
        sub = secrets.token_urlsafe(SUB_BYTES)
        if _MAKE.changed(connection, person=person, sector=sector, sub=sub, created_at=now) == 1:
            return sub
        found = _FIND.first(connection, person=person, sector=sector)  # another instance was first
    if found is None:
        raise RuntimeError("a subject that is there cannot be found")
    return str(found["sub"])
