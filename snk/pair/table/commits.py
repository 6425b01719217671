"""The statements of `snk.pair.sync.watch`: whether anything was committed, and which tables have new rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from snk.pair.schema.own import SCHEMA
from snk.pair.table.synced import IDS_ARRAY, SyncedTable

_HIGHS: sa.BindParameter[Any] = sa.bindparam("highs", type_=IDS_ARRAY)


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of one table.

    Attributes:
        oid: of the table; a table that was dropped and made again has another one.
        column: the name of the id column.
    """

    oid: int
    schema: str
    table: str
    column: str

    @classmethod
    def of(cls, table: SyncedTable) -> "Ids":
        """Those of a synced table."""
        shape = table.shape
        return cls(shape.oid, shape.schema, shape.name, shape.id_column.name)


def snapshot() -> sa.Select[str]:
    """The text of the server's snapshot: it changes when a transaction ends that wrote something."""
    return sa.select(sa.cast(sa.func.pg_current_snapshot(), sa.Text))


def waited(seen: str, most_seconds: float, every_seconds: float) -> sa.Select[str]:
    """The same, but not before it is another one than what was seen, or a time has passed."""
    wait = getattr(sa.func, SCHEMA).wait_for_commits
    return sa.select(
        wait(sa.literal(seen, sa.Text), sa.literal(most_seconds, sa.Double), sa.literal(every_seconds, sa.Double))
    )


def with_news(tables: Sequence[Ids]) -> sa.Select[Any]:
    """The positions of the tables that have a row above their item of ``highs``, if it is not null."""
    given = sa.select(_HIGHS.label("highs")).subquery("given")
    highs = [given.c.highs[sa.literal_column(str(at + 1))] for at in range(len(tables))]
    found: Any = [sa.case((_above(ids, high), at)) for at, (ids, high) in enumerate(zip(tables, highs, strict=True))]
    return sa.select(sa.func.array_remove(pg.array(found, type_=sa.Integer), sa.null()))


def _above(ids: Ids, high: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether there is a row above ``high``. The table is not touched if this is null."""
    column = sa.column(ids.column, sa.BigInteger)
    table = sa.table(ids.table, column, schema=ids.schema)
    there = sa.exists().select_from(table).where(table.c[ids.column] > high)
    return sa.case((high.is_not(None), there), else_=sa.false())
