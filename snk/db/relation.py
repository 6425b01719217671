"""Tables of users, as the database describes them: their columns with their types, and their indexes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import UserDefinedType

from snk.db.catalog import as_identifier

TIMESTAMPTZ = "timestamp with time zone"
TIMESTAMP = "timestamp without time zone"
ATTRIBUTE = sa.table(
    "pg_attribute",
    *(sa.column(name) for name in ("attrelid", "attname", "atttypid", "atttypmod", "attnum", "attnotnull")),
    *(sa.column(name) for name in ("attisdropped", "atthasdef", "attidentity", "attgenerated")),
    schema="pg_catalog",
)
INDEX = sa.table(
    "pg_index",
    *(sa.column(name) for name in ("indexrelid", "indrelid", "indkey", "indnkeyatts")),
    *(sa.column(name) for name in ("indisunique", "indimmediate", "indisvalid", "indpred")),
    schema="pg_catalog",
)
_TYPE = sa.table("pg_type", *(sa.column(name) for name in ("oid", "typbasetype", "typtype")), schema="pg_catalog")
_CLASS = sa.table("pg_class", *(sa.column(name) for name in ("oid", "relnamespace")), schema="pg_catalog")
_NAMESPACE = sa.table("pg_namespace", *(sa.column(name) for name in ("oid", "nspname")), schema="pg_catalog")
_NO_TYPE = sa.cast(sa.literal("0", sa.Text), pg.OID)
PSEUDO = "p"
"""A type of functions, such as `anyelement`, that no value has."""
NOT_A_TYPE = ("22023", "42601", "42704", "3F000", "0A000")
"""What PostgreSQL says to a text that is no name of a type."""
_FORM = 'YYYY-MM-DD"T"HH24:MI:SS.US'
_FIRST, _LAST = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"


class Typed(UserDefinedType[Any]):
    """A type of PostgreSQL, by its name; values are never converted by SQLAlchemy or the driver."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """The name."""
        return self.name


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        type: as PostgreSQL writes it, such as ``character varying(20)``.
        base: the type without its modifier; of a domain, the type below it.
        not_null: whether it is declared NOT NULL, which no column of a view is.
        filled: whether it has a default or numbers itself, so that an INSERT may leave it out.
        generated: whether its value is always computed.
    """

    name: str
    type: str
    base: str
    not_null: bool
    filled: bool
    generated: bool


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a whole table that can be used.

    Attributes:
        columns: its columns in their order; an expression has no name.
        unique: whether no two rows have the same values there.
        immediate: whether that holds after each statement; otherwise the constraint is DEFERRABLE, and ON CONFLICT
            cannot use it.
    """

    columns: tuple[str, ...]
    unique: bool
    immediate: bool


def oid_of(table: str) -> sa.ColumnElement[int]:
    """The number of a table, or of an index, whose name is an SQL identifier; null if there is none."""
    return sa.cast(sa.func.to_regclass(sa.literal(table, sa.Text)), pg.OID)


async def schema_of(connection: AsyncConnection, table: str) -> str | None:
    """The schema that a table is in, also if its name does not say so; None if there is no such table."""
    c, n = _CLASS.c, _NAMESPACE.c
    asked = sa.select(sa.cast(n.nspname, sa.Text)).join_from(_CLASS, _NAMESPACE, n.oid == c.relnamespace)
    return (await connection.execute(asked.where(c.oid == oid_of(as_identifier(table))))).scalar_one_or_none()


async def types_of(connection: AsyncConnection, written: Iterable[str]) -> dict[str, str]:
    """Types that values may have, by what was written; without modifiers, and of domains the types below them.

    What PostgreSQL does not know is left out. `format_type` with -1 tells `bpchar` from `character`, which is as long
    as one character.
    """
    t = _TYPE.c
    name = sa.func.unnest(sa.literal(list(written), pg.ARRAY(sa.Text))).column_valued("name")
    plain_type = sa.func.coalesce(sa.func.nullif(t.typbasetype, _NO_TYPE), t.oid)
    asked = sa.select(name, sa.func.format_type(plain_type, sa.literal(-1, sa.Integer))).where(
        t.oid == sa.cast(sa.func.to_regtype(name), pg.OID), sa.cast(t.typtype, sa.Text) != PSEUDO
    )
    return {row[0]: row[1] for row in await connection.execute(asked)}


async def columns_of(connection: AsyncConnection, table: str) -> dict[str, Column]:
    """The columns of a table by their names, in their order; empty if there is no such table."""
    a, t = ATTRIBUTE.c, _TYPE.c
    plain_type = sa.func.coalesce(sa.func.nullif(t.typbasetype, _NO_TYPE), t.oid)
    asked = (
        sa.select(
            sa.cast(a.attname, sa.Text),
            sa.func.format_type(a.atttypid, a.atttypmod),
            sa.func.format_type(plain_type, None),
            a.attnotnull,
            sa.or_(a.atthasdef, sa.cast(a.attidentity, sa.Text) != ""),
            sa.or_(sa.cast(a.attgenerated, sa.Text) != "", sa.cast(a.attidentity, sa.Text) == "a"),
        )
        .join_from(ATTRIBUTE, _TYPE, t.oid == a.atttypid)
        .where(a.attrelid == oid_of(as_identifier(table)), a.attnum > 0, sa.not_(a.attisdropped))
        .order_by(a.attnum)
    )
    return {row[0]: Column(*row) for row in await connection.execute(asked)}


async def indexes_of(connection: AsyncConnection, table: str) -> list[Index]:
    """The indexes of a table."""
    a, i = ATTRIBUTE.c, INDEX.c
    relation = oid_of(as_identifier(table))
    named = sa.select(a.attnum, sa.cast(a.attname, sa.Text)).where(a.attrelid == relation)
    names: dict[int, str] = {row[0]: row[1] for row in await connection.execute(named)}
    asked = sa.select(sa.cast(i.indkey, sa.Text), i.indnkeyatts, i.indisunique, i.indimmediate).where(
        i.indrelid == relation, i.indisvalid, i.indpred.is_(None)
    )
    return [
        Index(tuple(names.get(int(number), "") for number in key.split()[:count]), unique, immediate)
        for key, count, unique, immediate in await connection.execute(asked)
    ]


def in_json(column: sa.ColumnElement[Any], base: str) -> sa.ColumnElement[Any]:
    """A column, as row_to_json is to write it.

    Times have six digits after the second. Those that the form cannot express, such as ``infinity`` and years before 1,
    are written as PostgreSQL writes them.

    Args:
        column: the column.
        base: its type; see `Column.base`.
    """
    if base not in (TIMESTAMP, TIMESTAMPTZ):
        return column
    first, last = (sa.cast(sa.literal(text, sa.Text), sa.TIMESTAMP) for text in (_FIRST, _LAST))
    utc = sa.func.timezone("UTC", column) if base == TIMESTAMPTZ else column
    form = _FORM + ('"Z"' if base == TIMESTAMPTZ else "")
    return sa.case((utc.between(first, last), sa.func.to_char(utc, form)), else_=sa.cast(column, sa.Text))
