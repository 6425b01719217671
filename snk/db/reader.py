"""Reading a table by its id: the three questions a tail asks of its source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import Intervals
from snk.core.portion import Portion
from snk.core.report import Blocker
from snk.db import activity, catalog, deliveries, schema
from snk.db.engine import Kind, Server
from snk.db.table import IDS_ARRAY, UUIDS_ARRAY, NamedType, Rows, SyncedTable
from snk.errors import TableChanged

# Statistics lag behind a table that grows, and by old ones the planner reads all of it for the few rows at its end.
# With that forbidden, there is one good plan for each statement, and no need to look for it again every time.
BY_INDEX = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
}

WIDEST: sa.ColumnElement[int] = sa.bindparam("widest", type_=sa.BigInteger)


async def plan_by_index(connection: AsyncConnection) -> None:
    """Have the planner of this session use indexes wherever there are any, whatever the statistics say."""
    await connection.execute(sa.select(*(sa.func.set_config(name, value, False) for name, value in BY_INDEX.items())))  # noqa: FBT003


@dataclass(frozen=True, slots=True)
class Found:
    """What one read found.

    Attributes:
        rows: in id order.
        full: it was cut off at what was asked for, so more rows may be there.
        portion: what to ask for in the next read.
        inserted: the server's WAL insert position after the read's snapshot, in bytes: everything the read saw lies
            before it.
        flushed: the position up to which WAL was on disk then.
    """

    rows: Rows
    full: bool
    portion: Portion
    inserted: int
    flushed: int


@dataclass(frozen=True, slots=True)
class Named:
    """What was found under some names.

    Attributes:
        rows: in no order; names that nothing has are not among them.
        asked: how many of the names were asked for, from the first on; with more there might have been too many bytes.
        portion: what to ask for the next time.
    """

    rows: Rows
    asked: int
    portion: Portion


Ways = Mapping[bool, sa.Executable]
"""One question as two statements: whether the texts of a column come joined to one, or in arrays."""


class Reader:
    """Reads one table over one connection; every call is one statement with a snapshot of its own."""

    def __init__(self, server: Server, connection: AsyncConnection, table: SyncedTable) -> None:
        self._server = server
        self._connection = connection
        self._table = table
        self._above: Ways = {joined: _above(table, joined=joined) for joined in (False, True)}
        self._within: Ways = {joined: _within(table, joined=joined) for joined in (False, True)}
        self._joins = True
        self._named = _named(table)
        self._wait = _wait(table)
        self._can_wait: bool | None = None
        self._held = sa.select(table.uuid).where(_any_of(table))
        self._made_in = _made_in(table)
        self._bounds = sa.select(sa.func.min(table.id), sa.func.max(table.id))

    @property
    def floor(self) -> int:
        """Below every id that the table's sequence can give."""
        return self._table.shape.floor

    async def above(self, high: int, portion: Portion) -> Found:
        """The first rows with an id above ``high``, as many as fit; more if the last id occurs several times."""
        return await self._fitting(self._above, {"high": high}, portion)

    async def within(self, holes: Intervals, portion: Portion) -> Found:
        """The first rows whose ids lie in the holes, in id order, as many as fit."""
        lows, highs = zip(*holes.pairs, strict=True)
        return await self._fitting(self._within, {"lows": list(lows), "highs": list(highs)}, portion)

    async def _fitting(self, ways: Ways, parameters: Mapping[str, Any], portion: Portion) -> Found:
        """Ask for the portion, and where a row is too wide for it, at once for a smaller one."""
        while True:
            limits = {"limit": portion.rows, "widest": portion.widest}
            answer = await self._row(ways[self._joins], {**parameters, **limits})
            stamp, inserted, flushed, widest, ids, *folded = answer
            self._check(stamp)
            asked, portion = portion, portion.after(widest)
            if widest is not None and widest > asked.widest:
                continue
            rows = self._table.parted(ids, folded) if ids else Rows()
            if rows is not None:
                return Found(rows, len(rows) >= asked.rows, portion, inserted, flushed)
            self._joins = False  # where one such text is, there are more

    async def held(self, uuids: Sequence[str]) -> frozenset[str]:
        """Which of these uuids the table holds."""
        async with self._server.answering(self._connection, "read"):
            return frozenset((await self._connection.execute(self._held, {"uuids": list(uuids)})).scalars())

    async def named(self, uuids: Sequence[str], portion: Portion) -> Named:
        """The rows of the first of these uuids, of as many as fit into the portion, and of one at least."""
        while True:
            asked = list(uuids[: portion.rows])
            answer = await self._row(self._named, {"uuids": asked, "widest": portion.widest})
            stamp, widest, ids, *folded = answer
            self._check(stamp)
            share, portion = portion.widest, portion.after(widest)
            if widest is None or widest <= share:
                return Named(self._table.rows(ids, folded) if ids else Rows(), len(asked), portion)

    async def made_in(self, ids: Sequence[int], transactions: Sequence[int]) -> dict[str, int]:
        """Of the rows with these ids, those that were made in these transactions: the transaction, by uuid."""
        values = {"ids": ids, "transactions": [str(number) for number in transactions]}
        async with self._server.answering(self._connection, "read"):
            found = await self._connection.execute(self._made_in, values)
        return {row[0]: row[1] for row in found}

    async def transactions_of(self, uuids: Sequence[str]) -> frozenset[int]:
        """The transactions in which these rows were made. A savepoint has a number of its own."""
        made_in = sa.select(deliveries.MADE_IN).where(_any_of(self._table)).distinct()
        async with self._server.answering(self._connection, "read"):
            return frozenset((await self._connection.execute(made_in, {"uuids": list(uuids)})).scalars())

    async def wait(self, high: int, most_seconds: float, every_seconds: float) -> bool | None:
        """Wait in the server for a row above ``high``.

        Returns:
            Whether there is one; None, at once, where the server lacks the function.
        """
        if self._can_wait is None:
            async with self._server.answering(self._connection):
                self._can_wait = await catalog.exists(self._connection, schema.WAIT, "function")
        if not self._can_wait:
            return None
        sleeps = {"high": high, "most": most_seconds, "every": every_seconds}
        (found,) = await self._row(self._wait, sleeps, "look")
        return bool(found)

    async def writers(self) -> frozenset[str]:
        """Every transaction that could still fill a hole."""
        async with self._server.answering(self._connection):
            return await activity.writers(self._connection, self._table.shape.lockable)

    async def blockers(self, names: frozenset[str]) -> list[Blocker]:
        """Who the named writers are."""
        async with self._server.answering(self._connection):
            return await activity.blockers(self._connection, self._table.shape.lockable, names)

    async def bounds(self) -> tuple[int | None, int | None]:
        """The least and the greatest id in the table; None for an empty one."""
        low, high = await self._row(self._bounds, kind="look")
        return low, high

    async def see_unchanged(self) -> None:
        """See that the table is as it was when the connection was made.

        Raises:
            TableChanged: it is not.
        """
        async with self._server.answering(self._connection):
            form = await catalog.form(self._connection, self._table.shape)
        if form != self._table.shape.form:
            raise self._changed()

    @property
    def body(self) -> str:
        """`Shape.body` when the connection was made."""
        return self._table.shape.body

    async def went_back(self, high: int, greatest: int | None) -> bool:
        """Whether ids below the mark may be drawn again: its row is gone, and its sequence does not stand above it."""
        if high <= (self.floor if greatest is None else greatest):
            return False
        sequence = self._table.shape.id_column.sequence
        if sequence is None:
            return True
        async with self._server.answering(self._connection):
            drawn = await catalog.drawn(self._connection, sequence.oid)
        return drawn is None or drawn < high

    def _check(self, stamp: str | None) -> None:
        if stamp != self._table.shape.stamp:
            raise self._changed()

    def _changed(self) -> TableChanged:
        return TableChanged(f"{self._server.label}: {self._table.shape.full_name} is not as it was: looking again")

    async def _row(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None, kind: Kind = "read"
    ) -> list[Any]:
        async with self._server.answering(self._connection, kind):
            return list((await self._connection.execute(statement, parameters)).one())


def _above(table: SyncedTable, *, joined: bool) -> sa.Select[Any]:
    """The statement of `Reader.above`. WITH TIES, so that equal ids are never split between two reads."""
    rows = (
        sa.select(table.id.label("id"), *table.measurable(WIDEST))
        .where(table.id > sa.bindparam("high", type_=sa.BigInteger))
        .order_by(table.id)
        .fetch(sa.bindparam("limit", type_=sa.BigInteger), with_ties=True)
        .subquery()
    )
    return _fitting(table, rows, joined=joined)


def _within(table: SyncedTable, *, joined: bool) -> sa.Select[Any]:
    """The statement of `Reader.within`. LATERAL makes it one index range scan per hole, whatever the statistics say."""
    limit = sa.bindparam("limit", type_=sa.BigInteger)
    holes = (
        sa.func.unnest(sa.bindparam("lows", type_=IDS_ARRAY), sa.bindparam("highs", type_=IDS_ARRAY))
        .table_valued("low", "high", name="holes")
        .render_derived()
    )
    inside = (
        sa.select(table.id.label("id"), *table.measurable(WIDEST))
        .where(table.id >= holes.c.low, table.id <= holes.c.high)
        .order_by(table.id)
        .fetch(limit, with_ties=True)
        .lateral("inside")
    )
    rows = (
        sa.select(*inside.c)
        .select_from(holes.join(inside, sa.true()))
        .order_by(inside.c.id)
        .fetch(limit, with_ties=True)
        .subquery()
    )
    return _fitting(table, rows, joined=joined)


def _fitting(table: SyncedTable, limited: sa.Subquery, *, joined: bool) -> sa.Select[Any]:
    """The rows, folded; before them how wide the widest is. What is in rows that are too wide stays where it is."""
    rows, width = table.measured(limited)
    return sa.select(
        catalog.stamp(table.shape),
        _bytes(sa.func.pg_current_wal_insert_lsn()),
        _bytes(sa.func.pg_current_wal_flush_lsn()),
        sa.null() if width is None else sa.func.max(width),
        _ids(rows),
        *table.folded(rows, None if width is None else width > WIDEST, joined=joined),
    )


def _wait(table: SyncedTable) -> sa.Select[Any]:
    wait = getattr(sa.func, schema.SCHEMA).wait_for_rows
    return sa.select(
        wait(
            sa.literal(table.shape.oid, pg.OID),
            sa.literal(table.shape.id_column.name, sa.Text),
            sa.bindparam("high", type_=sa.BigInteger),
            sa.bindparam("most", type_=sa.Double),
            sa.bindparam("every", type_=sa.Double),
        )
    )


def _named(table: SyncedTable) -> sa.Select[Any]:
    rows, width = table.measured(
        sa.select(table.id.label("id"), *table.measurable(WIDEST)).where(_any_of(table)).subquery()
    )
    return sa.select(
        catalog.stamp(table.shape),
        sa.null() if width is None else sa.func.max(width),
        _ids(rows),
        *table.folded(rows, None if width is None else width > WIDEST),
    )


def _made_in(table: SyncedTable) -> sa.Select[str, int]:
    """The statement of `Reader.made_in`."""
    numbers = sa.cast(sa.bindparam("transactions", type_=ARRAY(sa.Text, dimensions=1)), ARRAY(NamedType("xid")))
    return sa.select(table.uuid, deliveries.MADE_IN).where(
        table.id == sa.any_(sa.bindparam("ids", type_=IDS_ARRAY)), sa.literal_column("xmin") == sa.any_(numbers)
    )


def _ids(rows: sa.Subquery) -> sa.ColumnElement[Any]:
    return sa.func.array_agg(rows.c.id, type_=IDS_ARRAY)


def _any_of(table: SyncedTable) -> sa.ColumnElement[bool]:
    """The uuid is one of those bound as ``uuids``."""
    return table.uuid == sa.any_(sa.bindparam("uuids", type_=UUIDS_ARRAY))


def _bytes(position: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """A WAL position as a number of bytes."""
    return sa.cast(sa.func.pg_wal_lsn_diff(position, sa.literal_column("'0/0'")), sa.BigInteger)
