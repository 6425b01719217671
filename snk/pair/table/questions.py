"""The statements that `snk.pair.table.reader.Reader` executes; each is named after the method that uses it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from snk.pair.catalog import lookup
from snk.pair.table import deliveries
from snk.pair.table.statement import Statement
from snk.pair.table.synced import IDS_ARRAY, UUIDS_ARRAY, NamedType, SyncedTable

Columns = Sequence[sa.ColumnElement[Any]]

WIDEST: sa.ColumnElement[int] = sa.bindparam("widest", type_=sa.BigInteger)


@dataclass(frozen=True, slots=True)
class Question:
    """One query for rows, as statements.

    Attributes:
        ways: two statements. The key tells whether the texts of a column are joined into one text or form an array.
        names: the statement that returns only ids and uuids.
        nothing: parameters with which the query selects no row.
    """

    ways: Mapping[bool, Statement]
    names: Statement
    nothing: Mapping[str, Any]


def above(table: SyncedTable) -> Question:
    """The first rows with an id above ``high``."""
    return _question(table, _above, {"high": 2**63 - 1})


def within(table: SyncedTable) -> Question:
    """The first rows with an id between an item of ``lows`` and the corresponding item of ``highs``."""
    return _question(table, _within, {"lows": [], "highs": []})


def _question(
    table: SyncedTable, select: Callable[[SyncedTable, Columns], sa.Subquery], nothing: Mapping[str, Any]
) -> Question:
    """The statements of a query; ``select`` returns its rows with the given columns."""

    def way(table: SyncedTable, *, joined: bool) -> sa.Select[Any]:
        return _fitting(table, select(table, table.measurable(WIDEST)), joined=joined)

    def names(table: SyncedTable) -> sa.Select[Any]:
        named = select(table, [sa.cast(table.uuid, sa.Text).label("uuid")])
        uuids = sa.func.array_agg(named.c.uuid, type_=ARRAY(sa.Text, dimensions=1))
        return sa.select(lookup.row_fingerprint(table.shape), *_positions(), _ids(named), uuids)

    ways = {joined: Statement(table, partial(way, joined=joined), (select, joined)) for joined in (False, True)}
    return Question(ways, Statement(table, names, (select, "names")), nothing)


def _above(table: SyncedTable, columns: Columns) -> sa.Subquery:
    """The rows of `above`. WITH TIES ensures that two reads never split equal ids."""
    return (
        sa.select(table.id.label("id"), *columns)
        .where(table.id > sa.bindparam("high", type_=sa.BigInteger))
        .order_by(table.id)
        .fetch(sa.bindparam("limit", type_=sa.BigInteger), with_ties=True)
        .subquery()
    )


def _within(table: SyncedTable, columns: Columns) -> sa.Subquery:
    """The rows of `within`. LATERAL forces one index range scan per hole, whatever the statistics say."""
    limit = sa.bindparam("limit", type_=sa.BigInteger)
    holes = (
        sa.func.unnest(sa.bindparam("lows", type_=IDS_ARRAY), sa.bindparam("highs", type_=IDS_ARRAY))
        .table_valued("low", "high", name="holes")
        .render_derived()
    )
    inside = (
        sa.select(table.id.label("id"), *columns)
        .where(table.id >= holes.c.low, table.id <= holes.c.high)
        .order_by(table.id)
        .fetch(limit, with_ties=True)
        .lateral("inside")
    )
    return (
        sa.select(*inside.c)
        .select_from(holes.join(inside, sa.true()))
        .order_by(inside.c.id)
        .fetch(limit, with_ties=True)
        .subquery()
    )


def _fitting(table: SyncedTable, limited: sa.Subquery, *, joined: bool) -> sa.Select[Any]:
    """The width of the widest row, then the rows, folded. The server omits the contents of rows that are too wide."""
    rows, width = table.measured(limited)
    return sa.select(
        lookup.row_fingerprint(table.shape),
        *_positions(),
        sa.null() if width is None else sa.func.max(width),
        _ids(rows),
        *table.folded(rows, None if width is None else width > WIDEST, joined=joined),
    )


def named(table: SyncedTable) -> sa.Select[Any]:
    """The width of the widest row with one of the ``uuids``, then these rows."""
    rows, width = table.measured(
        sa.select(table.id.label("id"), *table.measurable(WIDEST)).where(any_of(table)).subquery()
    )
    return sa.select(
        lookup.row_fingerprint(table.shape),
        sa.null() if width is None else sa.func.max(width),
        _ids(rows),
        *table.folded(rows, None if width is None else width > WIDEST),
    )


def bounds(table: SyncedTable) -> sa.Select[int, int]:
    """The least and the greatest id."""
    return sa.select(sa.func.min(table.id), sa.func.max(table.id))


def made_in(table: SyncedTable) -> sa.Select[str, int]:
    """The rows that have one of the ``ids`` and were inserted in one of the ``transactions``."""
    numbers = sa.cast(sa.bindparam("transactions", type_=ARRAY(sa.Text, dimensions=1)), ARRAY(NamedType("xid")))
    return sa.select(table.uuid, deliveries.MADE_IN).where(
        table.id == sa.any_(sa.bindparam("ids", type_=IDS_ARRAY)), sa.literal_column("xmin") == sa.any_(numbers)
    )


def _ids(rows: sa.Subquery) -> sa.ColumnElement[Any]:
    return sa.func.array_agg(rows.c.id, type_=IDS_ARRAY)


def any_of(table: SyncedTable) -> sa.ColumnElement[bool]:
    """The condition that the uuid is one of those bound as ``uuids``."""
    return table.uuid == sa.any_(sa.bindparam("uuids", type_=UUIDS_ARRAY))


def _positions() -> tuple[sa.ColumnElement[int], sa.ColumnElement[int]]:
    """`snk.pair.table.reader.Found.inserted` and ``flushed``."""
    return _bytes(sa.func.pg_current_wal_insert_lsn()), _bytes(sa.func.pg_current_wal_flush_lsn())


def _bytes(position: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """A WAL position as a number of bytes."""
    return sa.cast(sa.func.pg_wal_lsn_diff(position, sa.literal_column("'0/0'")), sa.BigInteger)
