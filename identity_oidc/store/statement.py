"""Statements of a login: written with SQLAlchemy, compiled once for each kind of database, run by its driver.

SQLAlchemy's own way from an expression to rows takes ten times what the database needs for them. Types are converted
as SQLAlchemy converts them, so both ways may be mixed within one transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, Delete, Dialect, Insert, Select, Table, Update, bindparam, insert
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter

Row = dict[str, Any]
_Processor = Callable[[Any], Any]

IGNORE_CONFLICT: Final = " ON CONFLICT DO NOTHING"
"""Behind an insert, alike for SQLite and PostgreSQL: a row whose key is there already changes nothing."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    """`parameters` in the order of their places: name, value where the statement fixes it, conversion."""

    text: str
    parameters: tuple[tuple[str, Any, _Processor | None], ...]
    names: frozenset[str]
    keys: tuple[str, ...]
    conversions: tuple[tuple[int, _Processor], ...]


class Statement:
    """Safe for threads. Values are given by the names of its bound parameters, all of them and no others."""

    def __init__(self, clause: Select[Any] | Insert | Update | Delete, suffix: str = "") -> None:
        self._clause = clause
        self._suffix = suffix
        self._compiled: dict[str, _Compiled] = {}
        self._lock = threading.Lock()

    def rows(self, connection: Connection, **values: Any) -> list[Row]:
        """All rows, each by the names of its columns; of two columns of one name the later one counts."""
        compiled, cursor = self._run(connection, values)
        try:
            return [_row(compiled, each) for each in cursor.fetchall()]
        finally:
            cursor.close()

    def first(self, connection: Connection, **values: Any) -> Row | None:
        """The first row, where there is one."""
        compiled, cursor = self._run(connection, values)
        try:
            found = cursor.fetchone()
        finally:
            cursor.close()
        return None if found is None else _row(compiled, found)

    def changed(self, connection: Connection, **values: Any) -> int:
        """How many rows it inserted, updated or deleted."""
        _, cursor = self._run(connection, values)
        count = int(cursor.rowcount)
        cursor.close()
        return count

    def text(self, connection: Connection) -> str:
        """As the database gets it."""
        return self._for(connection.dialect).text

    def _run(self, connection: Connection, values: dict[str, Any]) -> tuple[_Compiled, Any]:
        compiled = self._compiled.get(connection.dialect.name) or self._for(connection.dialect)
        if values.keys() != compiled.names:
            raise TypeError(f"the statement takes exactly {', '.join(sorted(compiled.names))}")
        given = []
        for name, fixed, convert in compiled.parameters:
            value = values.get(name, fixed)
            given.append(value if convert is None or value is None else convert(value))
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, given)
        return compiled, cursor

    def _for(self, dialect: Dialect) -> _Compiled:
        with self._lock:
            if dialect.name not in self._compiled:
                self._compiled[dialect.name] = _compile(self._clause, self._suffix, dialect)
            return self._compiled[dialect.name]


def given(column: Column[Any], name: str = "") -> BindParameter[Any]:
    """A value of this column's type, named after it or otherwise."""
    return bindparam(name or column.key, type_=column.type)


def insertion(table: Table, *left_out: str) -> Insert:
    """A row of this table with a value for each column but those that are left out (null, or the database's)."""
    columns = [column for column in table.c if column.key not in left_out]
    return insert(table).values({column.key: given(column) for column in columns}).inline()


def _compile(clause: Any, suffix: str, dialect: Dialect) -> _Compiled:
    compiled = clause.compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler) or compiled.positiontup is None:
        raise TypeError(f"the driver of {dialect.name} takes values by their names: sqlite3 and pg8000 do not")
    parameters = []
    for name in compiled.positiontup:
        bound = compiled.binds[name]
        parameters.append((name, bound.effective_value, bound.type.dialect_impl(dialect).bind_processor(dialect)))
    columns: Sequence[Any] = tuple(clause.selected_columns) if isinstance(clause, Select) else ()
    found = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    return _Compiled(
        text=str(compiled) + suffix,
        parameters=tuple(parameters),
        names=frozenset(name for name in compiled.positiontup if compiled.binds[name].required),
        keys=tuple(str(column.key) for column in columns),
        conversions=tuple((place, convert) for place, convert in enumerate(found) if convert is not None),
    )


def _row(compiled: _Compiled, values: Sequence[Any]) -> Row:
    if compiled.conversions:
        values = list(values)
        for place, convert in compiled.conversions:
            values[place] = convert(values[place])
    return dict(zip(compiled.keys, values, strict=True))
