"""`sub`: 128 random bits for each person and sector, stored, never derived. Source: design "People"; R-ID-4.

It stays when a SIM is replaced, says nothing of the person, and is gone when its row is erased.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from identity_oidc.store.schema import SUBJECTS

SUB_BYTES = 16


def subject_for(connection: Connection, person: str, sector: str, now: int) -> str:
    """The subject of a person in a sector; it is made when it is asked for the first time."""
    wanted = select(SUBJECTS.c.sub).where(SUBJECTS.c.person == person, SUBJECTS.c.sector == sector)
    found = connection.execute(wanted).scalar()
    if found is not None:
        return str(found)
    row = {"person": person, "sector": sector, "sub": secrets.token_urlsafe(SUB_BYTES), "created_at": now}
    try:
        with connection.begin_nested():
            connection.execute(insert(SUBJECTS).values(row))
    except IntegrityError:  # another instance was first
        return str(connection.execute(wanted).scalar_one())
    return str(row["sub"])
