"""Writers of one process take turns: each is served when the one before it ends, or told that it waited too long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from identity_oidc.errors import ConfigurationError, StorageError
from identity_oidc.store import database as module
from identity_oidc.store.database import Database, insert_once
from identity_oidc.store.schema import CURSORS, NEWEST, SEEN


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.open(f"sqlite:///{tmp_path}/oidc.sqlite")
    yield found
    found.close()


def remember(database: Database, value: bytes) -> bool:
    with database.writing() as connection:
        return insert_once(connection, "test", value, 1)


def test_writers_at_once_all_write(database: Database) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda number: remember(database, bytes([number])), range(64)))
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(SEEN)).scalar_one() == 64


def test_a_writer_that_waits_too_long_is_told_and_the_next_is_served(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUSY_TIMEOUT_S", 0.01)
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with database.writing():
            begun.set()
            end.wait(20)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert begun.wait(20)
        with pytest.raises(StorageError):
            remember(database, b"refused")
        end.set()
        held.result(20)
    assert remember(database, b"taken")


def test_a_writer_that_fails_leaves_nothing_and_gives_its_turn_back(database: Database) -> None:
    def fail() -> None:
        with database.writing() as connection:
            insert_once(connection, "test", b"undone", 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert remember(database, b"undone"), "nothing of it stayed"


def test_of_many_at_once_with_one_value_one_is_first(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda _: remember(database, b"the same"), range(8))) == [False] * 7 + [True]


def test_a_database_of_before_gets_the_tables_that_were_added_and_one_of_another_version_is_refused(
    database: Database,
) -> None:
    assert remember(database, b"kept")
    with database.writing() as connection:
        NEWEST.drop(connection)
    again = Database.open(str(database.engine.url))
    with again.reading() as connection:
        assert connection.execute(select(func.count()).select_from(NEWEST)).scalar_one() == 0
    assert not remember(again, b"kept"), "what was there stays"
    with again.writing() as connection:
        connection.execute(update(CURSORS).where(CURSORS.c.name == "schema").values(value="0"))
    again.close()
    with pytest.raises(ConfigurationError, match="version 0"):
        Database.open(str(database.engine.url))
