"""The database: one engine a process, short transactions, durable when they end.

SQLite: write-ahead log, `synchronous=FULL`, and a writing transaction takes the lock at its beginning, so that it never
fails half-way for having read first. Threads of one process queue for it before SQLite sees them: its own waiting is a
sleep of up to 100 ms that nobody ends. PostgreSQL: read committed; every single use is a conditional UPDATE whose row
count says who came first, so both behave alike.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from identity_oidc.errors import ConfigurationError, StorageError
from identity_oidc.store.schema import AUDIT, CURSORS, METADATA, NEWEST, SEEN
from identity_oidc.store.statement import IGNORE_CONFLICT, Statement, insertion

_BUSY_TIMEOUT_S: Final = 5
_CONNECTIONS: Final = 24  # kept: two for each thread of a worker, and some for its duties; a new one costs 5 statements
_STATEMENTS: Final = 256  # prepared, for each connection: more than there are
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "wal_autocheckpoint=8000",  # 32 MiB: pages that every login changes are copied back once for many of them
)
SCHEMA_VERSION: Final = "1"

_SEE_ONCE: Final = Statement(insertion(SEEN), IGNORE_CONFLICT)
_RECORD: Final = Statement(insertion(AUDIT, "audit_id"))


class Database:
    """Safe for threads; each `reading` or `writing` block is one transaction on one connection."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        driver = engine.dialect.dbapi
        self._errors = (SQLAlchemyError, *((driver.Error,) if driver is not None else ()))
        self._turn = threading.Lock() if engine.dialect.name == "sqlite" else None
        self._idle: list[Connection] = []

    @property
    def is_embedded(self) -> bool:
        """Whether it is in this process, and its writers alone, rather than at the other end of a network."""
        return self._turn is not None

    @classmethod
    def open(cls, url: str) -> Self:
        """The database at an SQLAlchemy address; tables are made where there are none.

        Raises `ConfigurationError` for an address that is none and for tables of another version, `StorageError`.
        """
        try:
            address = make_url(url)
            backend = address.get_backend_name()
            engine = create_engine(
                address, hide_parameters=True, pool_pre_ping=backend != "sqlite", **_options(backend)
            )
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigurationError(
                "provider.database is no address that SQLAlchemy knows, or its driver is not installed:"
                " sqlite:///oidc.sqlite or postgresql+pg8000://user@host/name"
            ) from error
        if backend == "sqlite":
            _keep_to_ourselves(address.database)
            _tune_sqlite(engine)
        database = cls(engine)
        database._make_tables()
        return database

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that writes nothing. Raises `StorageError`."""
        try:
            with self._connection() as connection:
                yield connection
        except self._errors as error:
            raise _unavailable(error) from None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on disk when the block is left without an error. Raises `StorageError`."""
        try:
            with self._in_turn(), self._connection() as connection:
                if self._turn is not None:
                    connection.connection.cursor().execute("BEGIN IMMEDIATE")
                with _transaction(connection):
                    yield connection
        except self._errors as error:
            raise _unavailable(error) from None

    def close(self) -> None:
        """Close what nobody uses; what is asked for after that is opened anew."""
        while self._idle:
            self._idle.pop().close()
        self.engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """SQLite's stay checked out while they are idle: SQLAlchemy's pool costs more than most of what is asked here.
        PostgreSQL's come from the pool, which looks first whether the other end still lives."""
        if self._turn is None:
            with self.engine.connect() as connection:
                yield connection
            return
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.engine.connect()
        try:
            yield connection
        except self._errors:
            connection.invalidate()  # whatever it was, the next one does not inherit it
            connection.close()
            raise
        finally:
            if not connection.closed:
                _roll_back(connection)  # nothing, after a commit
                self._idle.append(connection)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=_BUSY_TIMEOUT_S):
            raise _unavailable(TimeoutError())
        try:
            yield
        finally:
            self._turn.release()

    def _make_tables(self) -> None:
        try:
            if not inspect(self.engine).has_table(NEWEST.name):
                METADATA.create_all(self.engine)
                for index in (each for table in METADATA.tables.values() for each in table.indexes):
                    index.create(self.engine, checkfirst=True)
            with self.writing() as connection:
                found = connection.execute(select(CURSORS.c.value).where(CURSORS.c.name == "schema")).scalar()
                if found is None:
                    row = {"name": "schema", "value": SCHEMA_VERSION, "updated_at": 0}
                    connection.execute(insert(CURSORS).values(row))
                elif found != SCHEMA_VERSION:
                    raise ConfigurationError(
                        f"provider.database has tables of version {found}, and this program writes {SCHEMA_VERSION}:"
                        " use the program that made them, or a database of its own"
                    )
        except SQLAlchemyError as error:
            raise _unavailable(error) from None


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """SQLAlchemy ends a transaction only if it ran a statement of it itself (`Statement` asks the driver)."""
    try:
        yield
    except BaseException:
        _roll_back(connection)
        raise
    (connection if connection.in_transaction() else connection.connection).commit()


def _roll_back(connection: Connection) -> None:
    (connection if connection.in_transaction() else connection.connection).rollback()


def insert_once(connection: Connection, kind: str, value_hash: bytes, expires_at: int) -> bool:
    """Whether this value is seen for the first time; it is remembered until it expires."""
    return _SEE_ONCE.changed(connection, kind=kind, value_hash=value_hash, expires_at=expires_at) == 1


def record_act(connection: Connection, at: int, act: str, **facts: Any) -> None:
    """Add a line to the audit log, in the transaction of the act itself. Facts name no person and hold no secret."""
    _RECORD.changed(connection, at=at, act=act, facts=facts)


def _options(backend: str) -> dict[str, Any]:
    if backend == "sqlite":
        arguments = {"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False, "cached_statements": _STATEMENTS}
        return {"connect_args": arguments, "pool_size": _CONNECTIONS}
    return {"pool_timeout": _BUSY_TIMEOUT_S}


def _keep_to_ourselves(path: str | None) -> None:
    """Nobody else on the machine reads who logs in where; SQLite gives the files beside it the same mode.

    A file that is there is left alone: to close it here would end the locks that this process has on it (POSIX).
    """
    if path and path != ":memory:" and not path.startswith("file:"):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return
        except OSError as error:
            raise _unavailable(error) from None


def _tune_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # no transaction behind our back: BEGIN is ours to say
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _unavailable(error: Exception) -> StorageError:
    return StorageError(
        "The provider's database does not answer now. Try again in a moment.", detail=type(error).__name__
    )
