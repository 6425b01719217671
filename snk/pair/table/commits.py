"""The statements of `snk.pair.sync.watch`: whether anything was committed, and which tables have new rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from snk.pair.schema.own import SCHEMA
from snk.pair.table.synced import IDS_ARRAY, SyncedTable

_HIGHS: sa.BindParameter[Any] = sa.bindparam("highs", type_=IDS_ARRAY)
_WAIT = (
    sa.bindparam("seen", type_=sa.Text),
    sa.bindparam("most_seconds", type_=sa.Double),
    sa.bindparam("every_seconds", type_=sa.Double),
)
# As text: the driver needs several times as long to encode long arrays.
_SEQUENCES = sa.cast(sa.bindparam("sequences", type_=sa.Text), pg.ARRAY(pg.OID, dimensions=1))
_READ = sa.cast(sa.bindparam("highs", type_=sa.Text), IDS_ARRAY)


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids of one table.

    Attributes:
        oid: of the table; a table that was dropped and made again has another one.
        column: the name of the id column.
        sequence: the oid of a sequence that only grows and from which the ids are drawn, unless set by hand; or None.
        cached: sessions may draw several ids in advance.
    """

    oid: int
    schema: str
    table: str
    column: str
    sequence: int | None = None
    cached: bool = False

    @classmethod
    def of(cls, table: SyncedTable) -> "Ids":
        """Those of a synced table."""
        shape = table.shape
        sequence = shape.id_column.sequence
        grows = sequence.oid if sequence and sequence.increment > 0 and not sequence.cycles else None
        cached = sequence is None or sequence.cache > 1
        return cls(shape.oid, shape.schema, shape.name, shape.id_column.name, grows, cached)


def waited(*, waits: bool) -> sa.Select[Any]:
    """The text of the server's snapshot, not before it is another one than ``seen``, or a time has passed.

    It changes when a transaction ends that wrote something. Besides, two arrays: the positions of those ``sequences``
    from which more than the item of ``highs`` was drawn by then, and what was drawn last, or null if that is hidden.
    This reads a row per sequence, and no table: it costs a seventh of `with_news`.

    Args:
        waits: whether the server can wait; otherwise it answers at once.
    """
    present: Any = sa.cast(sa.func.pg_current_snapshot(), sa.Text)
    if waits:
        present = getattr(sa.func, SCHEMA).wait_for_commits(*_WAIT)
    now = sa.select(present.label("snapshot")).subquery("now")
    columns = sa.column("sequence", pg.OID), sa.column("high", sa.BigInteger)
    asked = sa.func.unnest(_SEQUENCES, _READ).table_valued(*columns, with_ordinality="at", name="asked")
    asked = asked.render_derived()
    drawn = sa.func.coalesce(sa.func.pg_sequence_last_value(asked.c.sequence), sa.literal_column(str(-(2**63))))
    may_see = sa.func.has_sequence_privilege(asked.c.sequence, "USAGE, SELECT")
    known = sa.case((may_see, sa.cast(drawn, sa.BigInteger))).label("last")
    each = sa.select(asked.c.at, asked.c.high, known).subquery("each")
    # Only after the wait, as it depends on what that returned.
    above = sa.and_(now.c.snapshot.is_not(None), sa.or_(each.c.last.is_(None), each.c.last > each.c.high))
    folded = (sa.func.array_agg(each.c[name], type_=IDS_ARRAY).label(name) for name in ("at", "last"))
    found = sa.select(*folded).select_from(each).where(above).lateral("found")
    return sa.select(now.c.snapshot, *found.c).select_from(now.join(found, sa.true()))


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
