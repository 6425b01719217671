"""The tables that are served, with the types that their columns really have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.names import quoted, split_name
from snk.db.catalog import as_identifier
from snk.db.errors import plain
from snk.db.relation import ATTRIBUTE, INDEX, TIMESTAMP, TIMESTAMPTZ, Column, Typed, columns_of, oid_of
from snk.errors import DatabaseUnfit, SettingsError
from snk.serve.settings import DatasetSettings

_CONSTRAINT = sa.table(
    "pg_constraint", *(sa.column(name) for name in ("conrelid", "conname", "conkey")), schema="pg_catalog"
)
_CLASS = sa.table("pg_class", sa.column("oid"), sa.column("relkind"), schema="pg_catalog")


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A table that is served.

    Attributes:
        name: in the settings, and in URLs.
        table: as SQLAlchemy knows it: with its served columns only.
        columns: these columns, by name.
        key: the name of the column that orders the pages.
        time: the name of the column of frames; empty if there is none.
        time_zone: what a timestamp without time zone means.
        read: the columns that may be read.
        write: the columns that may be written.
    """

    name: str
    table: sa.TableClause
    columns: Mapping[str, Column]
    key: str
    time: str
    time_zone: str
    read: tuple[str, ...]
    write: tuple[str, ...]

    def column(self, name: str) -> sa.ColumnClause[Any]:
        """A column in SQL."""
        column: sa.ColumnClause[Any] = self.table.c[name]
        return column


async def look_up(connection: AsyncConnection, name: str, given: DatasetSettings) -> Dataset:
    """Look up a table.

    Raises:
        DatabaseUnfit: there is no such table or column, or a column does not have the type that it needs.
        SettingsError: there is no such time zone.
    """
    columns = await _columns(connection, name, given)
    wanted = dict.fromkeys((*given.readable, *given.write))
    for column in wanted:
        if column not in columns:
            hint = f"It has {', '.join(columns)}"
            raise DatabaseUnfit(f"[serve.datasets.{name}]: {given.table} has no column {column!r}", hint=hint)
    *schema, table = split_name(given.table)
    served = {column: columns[column] for column in wanted}
    made = sa.table(
        table, *(sa.column(each, Typed(served[each].type)) for each in served), schema=schema[0] if schema else None
    )
    if given.time:
        await _check_time(connection, name, given, columns[given.time])
    return Dataset(name, made, served, given.key, given.time, given.time_zone, given.readable, given.write)


async def _columns(connection: AsyncConnection, name: str, given: DatasetSettings) -> dict[str, Column]:
    if (await connection.execute(sa.select(oid_of(as_identifier(given.table)).is_(None)))).scalar_one():
        hint = f"Create it, or fix serve.datasets.{name}.table"
        raise DatabaseUnfit(f"The database has no table {given.table}", hint=hint)
    return await columns_of(connection, given.table)


async def _check_time(connection: AsyncConnection, name: str, given: DatasetSettings, time: Column) -> None:
    if time.base not in (TIMESTAMPTZ, TIMESTAMP):
        hint = "Name a column of type timestamptz or timestamp, or leave `time` out"
        raise DatabaseUnfit(f"serve.datasets.{name}.time is {given.time!r}, which is {time.type}", hint=hint)
    if time.base == TIMESTAMP:
        try:
            await connection.execute(sa.select(sa.func.timezone(sa.literal(given.time_zone, sa.Text), sa.func.now())))
        except DBAPIError as error:
            hint = "Use a name such as Europe/Berlin or UTC"
            raise SettingsError(
                f"serve.datasets.{name}.time_zone is {given.time_zone!r}: {plain(error)}", hint=hint
            ) from error


async def columns_of_constraint(connection: AsyncConnection, table: tuple[str, str], name: str) -> list[str]:
    """The columns of a constraint, or of a unique index.

    Args:
        connection: a connection.
        table: its schema, which may be empty, and its name.
        name: of the constraint or index.
    """
    relation = oid_of(".".join(quoted(part) for part in table if part))
    index = oid_of(".".join(quoted(part) for part in (table[0], name) if part))
    a, c, i = ATTRIBUTE.c, _CONSTRAINT.c, INDEX.c
    number = pg.ARRAY(sa.SmallInteger)
    of_constraint = sa.select(sa.func.unnest(sa.cast(c.conkey, number))).where(
        c.conrelid == relation, c.conname == name
    )
    of_index = sa.select(sa.func.unnest(sa.cast(i.indkey, number))).where(i.indexrelid == index)
    asked = (
        sa.select(sa.cast(a.attname, sa.Text))
        .where(a.attrelid == relation, a.attnum.in_(of_constraint.union(of_index)), a.attnum > 0)
        .order_by(a.attnum)
    )
    return list((await connection.execute(asked)).scalars())


async def is_view(connection: AsyncConnection, table: str) -> bool:
    """Whether a table is a view."""
    c = _CLASS.c
    kind = sa.select(sa.cast(c.relkind, sa.Text)).where(c.oid == oid_of(as_identifier(table)))
    return (await connection.execute(kind)).scalar_one() in ("v", "m")


async def required(connection: AsyncConnection, table: str) -> list[str]:
    """The columns of a table that every new row must be given."""
    a = ATTRIBUTE.c
    asked = sa.select(sa.cast(a.attname, sa.Text)).where(
        a.attrelid == oid_of(as_identifier(table)),
        a.attnum > 0,
        a.attnotnull,
        sa.not_(sa.or_(a.attisdropped, a.atthasdef, sa.cast(a.attidentity, sa.Text) != "")),
    )
    return list((await connection.execute(asked)).scalars())
