"""A login costs the same however much is kept: every statement of its way finds its rows by an index."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, select, text

import identity_oidc
from identity_oidc.errors import StorageError
from identity_oidc.store.database import Database, record_act
from identity_oidc.store.schema import AUDIT, CHALLENGES, GRANTS, METADATA
from identity_oidc.store.statement import Statement, given, insertion


def statements() -> Iterator[tuple[str, Statement]]:
    """Those that any module of the provider holds."""
    for found in pkgutil.walk_packages(identity_oidc.__path__, "identity_oidc."):
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            held = value.values() if isinstance(value, dict) else [value]
            for each in held:
                if isinstance(each, Statement):
                    yield f"{found.name}.{name}", each


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/oidc.sqlite")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def scans(connection: Connection, statement: Statement) -> list[str]:
    """Steps of the database's plan that walk a table or an index from end to end."""
    wanted = statement.text(connection)
    cursor = connection.connection.cursor()
    cursor.execute(f"EXPLAIN QUERY PLAN {wanted}", [None] * wanted.count("?"))
    return [step for *_, step in cursor.fetchall() if step.startswith("SCAN")]


def test_no_statement_walks_a_table(engine: Engine) -> None:
    found = list(statements())
    assert len(found) > 30, "of sessions, challenges, approvals, grants, codes and tokens"
    with engine.connect() as connection:
        assert {name: steps for name, each in found if (steps := scans(connection, each))} == {}


def test_a_walk_would_be_seen(engine: Engine) -> None:
    walks = Statement(select(CHALLENGES.c.jti).where(CHALLENGES.c.code == given(CHALLENGES.c.code)))
    with engine.connect() as connection:
        assert scans(connection, walks) == ["SCAN challenge"]


def test_values_are_those_that_sqlalchemy_reads(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/oidc.sqlite")
    try:
        with database.writing() as connection:
            record_act(connection, 5, "act", number=1, words=["é", None])
            row = connection.execute(select(AUDIT)).mappings().one()
            assert (row["at"], row["act"], row["facts"]) == (5, "act", {"number": 1, "words": ["é", None]})
            own = Statement(select(AUDIT).where(AUDIT.c.at == given(AUDIT.c.at)))
            assert own.rows(connection, at=5) == [dict(row)]
            assert own.first(connection, at=6) is None
    finally:
        database.close()


def test_values_that_are_missing_or_unknown_are_refused(engine: Engine) -> None:
    find = Statement(select(GRANTS).where(GRANTS.c.grant_id == given(GRANTS.c.grant_id)))
    with engine.connect() as connection:
        for values in ({}, {"grant_id": "a", "person": "b"}):
            with pytest.raises(TypeError, match="exactly grant_id"):
                find.first(connection, **values)


def test_an_error_of_the_driver_is_one_of_the_store_and_undoes_all(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/oidc.sqlite")
    keep = Statement(insertion(AUDIT))

    def keep_twice() -> None:
        with database.writing() as connection:
            for _ in range(2):  # the second with a key that is taken
                keep.changed(connection, audit_id=1, at=1, act="twice", facts={})

    try:
        with pytest.raises(StorageError):
            keep_twice()
        with database.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM audit")).scalar_one() == 0
    finally:
        database.close()
