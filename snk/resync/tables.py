"""The user's four tables, as SQLAlchemy sees them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.names import split_name
from snk.errors import DatabaseUnfit, SettingsError
from snk.resync.mapping import LabelNames, Mapping, ProjectNames, RowNames, TaskNames
from snk.resync.model import MOST


@dataclass(frozen=True, slots=True)
class Tables:
    """The four tables, with the types that their columns really have."""

    names: Mapping
    project: sa.Table
    task: sa.Table
    row: sa.Table
    label: sa.Table

    def column(self, table: str, name: str) -> sa.Column[Any]:
        """A column, by what the mapping calls it, such as ``row`` and ``source``."""
        found: sa.Table = getattr(self, table)
        column: sa.Column[Any] = found.c[getattr(getattr(self.names, table), name)]
        return column

    @property
    def state(self) -> sa.Column[Any]:
        """The column that holds the state of a project."""
        found: sa.Table = getattr(self, self.names.state.table)
        return found.c[self.names.state.column]


async def tables(connection: AsyncConnection, names: Mapping) -> Tables:
    """Look up the four tables.

    Raises:
        DatabaseUnfit: a table or a column of the mapping does not exist.
    """

    def look(sync: sa.Connection) -> Tables:
        found = {part: _reflected(sync, getattr(names, part), part) for part in ("project", "task", "row", "label")}
        made = Tables(names, **found)
        if names.in_process and names.state.column not in getattr(made, names.state.table).c:
            raise _missing(f"resync.state.column is {names.state.column!r}", getattr(made, names.state.table))
        return made

    return await connection.run_sync(look)


def _reflected(sync: sa.Connection, names: ProjectNames | TaskNames | RowNames | LabelNames, part: str) -> sa.Table:
    """A table with its columns; SQLAlchemy's own reflection would also ask for all keys, indexes and constraints."""
    *schema, name = split_name(names.table)
    try:
        found = sa.inspect(sync).get_columns(name, schema[0] if schema else None)
    except NoSuchTableError:
        hint = f"Create it, or fix `table` in [resync.{part}]"
        raise DatabaseUnfit(f"The database has no table {names.table}", hint=hint) from None
    columns = [_column(each) for each in found]
    table = sa.Table(name, sa.MetaData(), *columns, schema=schema[0] if schema else None)
    for setting, column in names.model_dump().items():
        if setting in COLUMNS[type(names)] and column not in table.c:
            raise _missing(f"resync.{part}.{setting} is {column!r}", table)
    return table


def _column(found: ReflectedColumn) -> sa.Column[Any]:
    """A column; what matters of its default is only whether it has one."""
    made = found.get("identity") or found["default"]
    return sa.Column(found["name"], found["type"], server_default=sa.FetchedValue() if made else None)


COLUMNS: dict[type, tuple[str, ...]] = {
    ProjectNames: ("project", "method"),
    TaskNames: ("task", "project"),
    RowNames: ("key", "task", "project", "state", "source", "worker", "started", "reset"),
    LabelNames: ("key", "task", "source", "index"),
}


def _missing(setting: str, table: sa.Table) -> DatabaseUnfit:
    there = ", ".join(column.name for column in table.c)
    return DatabaseUnfit(f"{setting}, and {table.fullname} has no such column", hint=f"It has {there}")


_CONVERTED: dict[type, Callable[[Any], Any]] = {bool: lambda value: bool(int(value)), int: int, str: str, float: float}


def fitting(column: sa.Column[Any], value: str | int) -> Any:
    """A value of the settings or of the command line, as this column holds it.

    Raises:
        SettingsError: the column cannot hold it.
    """
    kind = python_type(column)
    try:
        return _CONVERTED.get(kind, kind)(value)
    except (ValueError, TypeError, ArithmeticError):
        raise SettingsError(
            f"{value!r} is not a value of {column.table}.{column.name}", hint=f"It is {column.type}"
        ) from None


def most(column: sa.Column[Any]) -> int:
    """The greatest number that a column can hold."""
    if isinstance(column.type, sa.SmallInteger):
        return 2**15 - 1
    return 2**31 - 1 if type(column.type) in (sa.Integer, sa.INTEGER) else MOST


def now(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The present moment, as this column holds it; where its type has no time zone, in UTC."""
    if issubclass(python_type(column), (datetime, date)):
        return sa.func.now()
    return sa.cast(sa.func.to_char(sa.func.now(), "YYYY-MM-DD HH24:MI:SS"), column.type)


def python_type(column: sa.Column[Any]) -> type:
    """The type of a column's values; text for a type that SQLAlchemy has no Python type for."""
    try:
        return column.type.python_type
    except NotImplementedError:
        return str
