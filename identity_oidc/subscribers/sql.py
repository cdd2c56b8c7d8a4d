"""Subscriber base over an operator's SQL views (docs/subscribers.md): SQLite or PostgreSQL, read only.

Only the views and columns of the claims that were asked for are read. Text that a view gives in a wrong form is an
error that names the column and never the value: it must not reach a log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, QueuePool, bindparam, create_engine, event, false, select, true
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.sql.expression import TableClause

from identity_oidc.store.statement import Statement
from identity_oidc.subscribers.base import CLAIMS, ClaimValue, IdentityId, PersonId
from identity_oidc.subscribers.errors import (
    SubscriberBaseUnavailableError,
    SubscriberDataError,
    SubscriberSettingError,
)
from identity_oidc.subscribers.views import (
    ADDRESS,
    ADDRESS_MEMBERS,
    EMAIL,
    IDENTITY,
    PERSON,
    PHONE,
    SOURCES,
    VIEWS,
    is_e164,
    read_identity_id,
    read_lines,
    read_person_id,
)

_TIMEOUT_S: Final = 5
_MOST_IDENTITIES: Final = 100
_MOST_STATEMENTS: Final = 256


class SqlSubscriberBase:
    """Implements `SubscriberBase`. Safe for threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        driver = engine.dialect.dbapi
        self._errors = (SQLAlchemyError, *((driver.Error,) if driver is not None else ()))

    @classmethod
    def open(cls, url: str) -> Self:
        """A base at an SQLAlchemy address, such as `sqlite:///people.sqlite` or
        `postgresql+pg8000://tally@/subscribers?unix_sock=/run/postgresql/.s.PGSQL.5432`.

        Every connection is read only and gives up after five seconds. Raises `SubscriberSettingError`.
        """
        try:
            address = make_url(url)
            if address.get_backend_name() == "sqlite":
                return cls(_sqlite(address))
            if address.get_backend_name() == "postgresql":
                return cls(_postgresql(address))
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise SubscriberSettingError(
                "the subscriber base's address is none that SQLAlchemy knows, or its driver is not installed: "
                "see docs/subscribers.md",
                detail=type(error).__name__,
            ) from error
        raise SubscriberSettingError(
            f"no adapter for {address.get_backend_name()!r}: the subscriber base is sqlite or postgresql"
        )

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def check(self) -> None:
        """Ask every view for a row with all its columns. Raises `SubscriberBaseUnavailableError` naming the view."""
        for view in VIEWS:
            with self._connection(view) as connection:
                connection.execute(select(*view.columns).limit(1)).fetchall()

    def person_of(self, identity: IdentityId) -> PersonId | None:
        rows = self._rows(IDENTITY, [IDENTITY.c.person_id], {"identity_id": identity.hex()}, 2)
        if len(rows) > 1:
            raise SubscriberDataError("tally_identity names several persons for one identity: each has one")
        return self._person_id(IDENTITY, rows[0][0]) if rows else None

    def identities_of(self, person: PersonId) -> tuple[IdentityId, ...]:
        rows = self._rows(IDENTITY, [IDENTITY.c.identity_id], {"person_id": person}, _MOST_IDENTITIES)
        found = []
        for (value,) in rows:
            identity = read_identity_id(value)
            if identity is None:
                raise _wrong_form(IDENTITY, "identity_id")
            found.append(IdentityId(identity))
        return tuple(sorted(found))

    def person_with_phone_number(self, phone_number: str) -> PersonId | None:
        if not is_e164(phone_number):
            return None
        wanted = {"phone_number": phone_number, "phone_number_verified": True}
        rows = self._rows(PHONE, [PHONE.c.person_id], wanted, 2)
        return self._person_id(PHONE, rows[0][0]) if len(rows) == 1 else None

    def claims(self, person: PersonId, names: Collection[str]) -> Mapping[str, ClaimValue]:
        unknown = sorted(set(names) - set(CLAIMS))
        if unknown:
            raise ValueError(f"no such claim: {unknown[0]}")
        found: dict[str, ClaimValue] = {}
        for view in (PERSON, EMAIL, PHONE):
            wanted = [name for name in CLAIMS if name in names and name in SOURCES and SOURCES[name][0] is view]
            if wanted:
                found |= self._columns(view, wanted, person)
        if "address" in names and (address := self._address(person)):
            found["address"] = address
        return found

    def _columns(self, view: TableClause, names: Sequence[str], person: PersonId) -> dict[str, ClaimValue]:
        found: dict[str, ClaimValue] = {}
        for name, value in zip(names, self._row(view, names, person), strict=True):
            if value is None:
                continue
            claim = SOURCES[name][1](value)
            if claim is None:
                raise _wrong_form(view, name)
            found[name] = claim
        return found

    def _address(self, person: PersonId) -> Mapping[str, str]:
        found = {}
        for name, value in zip(ADDRESS_MEMBERS, self._row(ADDRESS, ADDRESS_MEMBERS, person), strict=True):
            if value is None:
                continue
            text = read_lines(value)
            if text is None:
                raise _wrong_form(ADDRESS, name)
            found[name] = text
        return found

    def _row(self, view: TableClause, names: Sequence[str], person: PersonId) -> Sequence[Any]:
        """The person's one row, or a row of nothing. Two rows are no answer at all."""
        rows = self._rows(view, [view.c[name] for name in names], {"person_id": person}, 2)
        if len(rows) > 1:
            raise SubscriberDataError(f"{view.name} has several rows for one person: at most one, see the docs")
        return rows[0] if rows else [None] * len(names)

    def _person_id(self, view: TableClause, value: object) -> PersonId:
        person = read_person_id(value)
        if person is None:
            raise _wrong_form(view, "person_id")
        return PersonId(person)

    def _rows(
        self, view: TableClause, columns: Sequence[Any], wanted: Mapping[str, object], limit: int
    ) -> list[Sequence[Any]]:
        flags = tuple((name, value) for name, value in wanted.items() if isinstance(value, bool))
        others = {name: value for name, value in wanted.items() if not isinstance(value, bool)}
        statement = _statement(view, tuple(column.key for column in columns), flags, tuple(others), limit)
        with self._connection(view) as connection:
            return [tuple(row.values()) for row in statement.rows(connection, **others)]

    @contextmanager
    def _connection(self, view: TableClause) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (ValueError, TypeError):  # a column that the driver or SQLAlchemy cannot read as its type
            # Its text would hold the value.
            raise SubscriberDataError(
                f"{view.name} has a column of another type than docs/subscribers.md says"
            ) from None
        except self._errors as error:
            # SQLAlchemy's text would hold the values that were asked for: only the kind of error is kept.
            raise SubscriberBaseUnavailableError(
                f"the subscriber base does not answer for {view.name}: check that the database is up, and has this "
                "view as docs/subscribers.md says (`tally subscribers check`)",
                detail=type(error).__name__,
            ) from None


@lru_cache(maxsize=_MOST_STATEMENTS)
def _statement(
    view: TableClause, names: tuple[str, ...], flags: tuple[tuple[str, bool], ...], others: tuple[str, ...], limit: int
) -> Statement:
    """One for each combination of columns that is asked for."""
    wanted = select(*(view.c[name] for name in names)).limit(limit)
    for name, value in flags:
        wanted = wanted.where(view.c[name].is_(true() if value else false()))
    for name in others:
        wanted = wanted.where(view.c[name] == bindparam(name, type_=view.c[name].type))
    return Statement(wanted)


def _wrong_form(view: TableClause, name: str) -> SubscriberDataError:
    return SubscriberDataError(f"{view.name}.{name} has a value of another form than docs/subscribers.md says")


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise SubscriberSettingError("the subscriber base's address names no file: sqlite:///people.sqlite")
    path = Path(url.database).absolute()

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_TIMEOUT_S, check_same_thread=False)

    return create_engine("sqlite://", creator=connect, poolclass=QueuePool, hide_parameters=True)


def _postgresql(url: URL) -> Engine:
    engine = create_engine(url, pool_pre_ping=True, pool_timeout=_TIMEOUT_S, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _bound(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("SET default_transaction_read_only = on")
        cursor.execute(f"SET statement_timeout = {_TIMEOUT_S * 1_000}")
        cursor.close()
        connection.commit()

    return engine
