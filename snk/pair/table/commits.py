"""The statements of `snk.pair.sync.watch`: whether anything was committed, and which tables have new rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from snk.pair.schema.own import SCHEMA
from snk.pair.table.synced import IDS_ARRAY, SyncedTable

_HIGHS: sa.BindParameter[Any] = sa.bindparam("highs", type_=IDS_ARRAY)
_SEQUENCES: sa.BindParameter[Any] = sa.bindparam("sequences", type_=pg.ARRAY(pg.OID, dimensions=1))


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of one table.

    Attributes:
        oid: of the table; a table that was dropped and made again has another one.
        column: the name of the id column.
        sequence: the oid of a sequence that only grows and from which the ids are drawn, unless set by hand; or None.
    """

    oid: int
    schema: str
    table: str
    column: str
    sequence: int | None = None

    @classmethod
    def of(cls, table: SyncedTable) -> "Ids":
        """Those of a synced table."""
        shape = table.shape
        sequence = shape.id_column.sequence
        grows = sequence.oid if sequence and sequence.increment > 0 and not sequence.cycles else None
        return cls(shape.oid, shape.schema, shape.name, shape.id_column.name, grows)


def snapshot() -> sa.Select[str]:
    """The text of the server's snapshot: it changes when a transaction ends that wrote something."""
    return sa.select(sa.cast(sa.func.pg_current_snapshot(), sa.Text))


def waited(seen: str, most_seconds: float, every_seconds: float) -> sa.Select[str]:
    """The same, but not before it is another one than what was seen, or a time has passed."""
    wait = getattr(sa.func, SCHEMA).wait_for_commits
    return sa.select(
        wait(sa.literal(seen, sa.Text), sa.literal(most_seconds, sa.Double), sa.literal(every_seconds, sa.Double))
    )


def drawn_above() -> sa.Select[Any]:
    """The positions in ``sequences`` of those from which more than the item of ``highs`` was drawn, or may have been.

    This reads one row per sequence without a lock on any table: a seventh of what `with_news` costs.
    """
    sequence, high = sa.column("sequence", pg.OID), sa.column("high", sa.BigInteger)
    asked = sa.func.unnest(_SEQUENCES, _HIGHS).table_valued(sequence, high, with_ordinality="at", name="asked")
    asked = asked.render_derived()
    last = sa.func.coalesce(sa.func.pg_sequence_last_value(asked.c.sequence), sa.literal_column(str(-(2**63))))
    seen = sa.func.has_sequence_privilege(asked.c.sequence, "USAGE, SELECT")
    known = sa.case((seen, sa.cast(last, sa.BigInteger)))
    above = sa.or_(known.is_(None), known > asked.c.high)
    return sa.select(sa.func.array_agg(asked.c.at, type_=IDS_ARRAY)).where(above)


def with_news(tables: Sequence[Ids]) -> sa.Select[Any]:
    """The positions of the tables that have a row above their item of ``highs``, if it is not null."""
    given = sa.select(_HIGHS.label("highs")).subquery("given")
    highs = [given.c.highs[sa.literal_column(str(at + 1))] for at in range(len(tables))]
    found: Any = [sa.case((_above(ids, high), at)) for at, (ids, high) in enumerate(zip(tables, highs, strict=True))]
    return sa.select(sa.func.array_remove(pg.array(found, type_=sa.Integer), sa.null()))


def bounds(tables: Sequence[Ids]) -> sa.Select[Any]:
    """The least and the greatest id of each table, one after the other in one array; null for an empty table."""
    ends: list[sa.ColumnElement[int]] = []
    for ids in tables:
        table, column = _table(ids)
        ends += [sa.select(end(column)).select_from(table).scalar_subquery() for end in (sa.func.min, sa.func.max)]
    together: Any = ends
    return sa.select(pg.array(together, type_=sa.BigInteger))


def _table(ids: Ids) -> tuple[sa.TableClause, sa.ColumnClause[int]]:
    column = sa.column(ids.column, sa.BigInteger)
    return sa.table(ids.table, column, schema=ids.schema), column


def _above(ids: Ids, high: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether there is a row above ``high``. The table is not touched if this is null."""
    table, column = _table(ids)
    there = sa.exists().select_from(table).where(column > high)
    return sa.case((high.is_not(None), there), else_=sa.false())
