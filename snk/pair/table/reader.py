"""Reading a table by its id: the three queries that a tail sends to its source."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import Intervals
from snk.db.access import Access, Dedicated
from snk.db.functions import setting
from snk.db.server import Kind
from snk.errors import SnkError
from snk.pair.catalog import activity, lookup
from snk.pair.core.portion import Portion
from snk.pair.core.report import Blocker
from snk.pair.table import deliveries, questions
from snk.pair.table.check import changed
from snk.pair.table.commits import Ids
from snk.pair.table.questions import Question, any_of
from snk.pair.table.rejects import Refusal
from snk.pair.table.statement import Statement
from snk.pair.table.synced import Rows, SyncedTable
from snk.pair.table.unreadable import READ_ERRORS, Around, TooWide, fault_of, read_around

# The statistics of a growing table are out of date, and with them the planner scans the whole table for the few rows at
# its end. With these settings, each statement has one good plan, and the server need not plan it every time.
BY_INDEX = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
}


async def plan_by_index(connection: AsyncConnection) -> None:
    """Make the planner of this session use indexes wherever they exist, whatever the statistics say."""
    await connection.execute(sa.select(*(setting(name, value) for name, value in BY_INDEX.items())))


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one read.

    Attributes:
        rows: the rows, in id order.
        full: the read returned as many rows as requested, so there may be more.
        portion: the portion to request in the next read.
        inserted: the server's WAL insert position after the read's snapshot, in bytes: everything the read saw lies
            before it.
        flushed: the position up to which WAL was on disk at that time.
        reached: the last id that was read; None if there was none.
        unread: why existing rows cannot be returned, by uuid (`snk.pair.table.unreadable`).
        unread_ids: the ids of these rows.
    """

    rows: Rows
    full: bool
    portion: Portion
    inserted: int
    flushed: int
    reached: int | None = None
    unread: Mapping[str, Refusal] = field(default_factory=dict)
    unread_ids: Sequence[int] = ()

    @property
    def ids(self) -> Sequence[int]:
        """The ids that were seen, ascending."""
        return sorted([*self.rows.ids, *self.unread_ids]) if self.unread_ids else self.rows.ids


@dataclass(frozen=True, slots=True)
class Named:
    """The result of a read by uuid.

    Attributes:
        rows: the rows that exist, in no order.
        asked: how many of the uuids were read, counted from the first; more might have exceeded the limit in bytes.
        portion: the portion to request the next time.
        unread: why existing rows cannot be returned, by uuid.
    """

    rows: Rows
    asked: int
    portion: Portion
    unread: Mapping[str, Refusal] = field(default_factory=dict)


class Reader:
    """Reads one table; every call is one statement with its own snapshot.

    Only rows that the server cannot return need several statements (`snk.pair.table.unreadable`).

    Attributes:
        server: the server that has the table.

    Args:
        access: to it.
        table: the table.
    """

    def __init__(self, access: Access, table: SyncedTable) -> None:
        self._access = access
        self.server = access.server
        self._table = table
        self._in_transaction = False
        self._above = questions.above(table)
        self._within = questions.within(table)
        self._joins = True
        self._named = Statement(table, questions.named, "named")
        self._bounds = Statement(table, questions.bounds, "bounds")

    @cached_property
    def _made_in(self) -> sa.Select[str, int]:
        return questions.made_in(self._table)

    def inside(self, connection: AsyncConnection) -> "Reader":
        """The same for the transaction of a connection, which survives a statement that fails."""
        inside = copy(self)
        inside._access, inside._in_transaction = Dedicated(self.server, connection), True  # noqa: SLF001 - its own
        return inside

    @property
    def ids(self) -> Ids:
        """What `snk.pair.sync.watch` looks at."""
        return Ids.of(self._table)

    @property
    def floor(self) -> int:
        """An id below every id that the table's sequence can return."""
        return self._table.shape.floor

    async def above(self, high: int, portion: Portion) -> Found:
        """The first rows with an id above ``high``, as many as fit; more if several rows have the last id."""
        return await self._fitting(self._above, {"high": high}, portion)

    async def prepare(self) -> None:
        """Have the server prepare the statement of `above`, so that the first rows need not wait for it."""
        way, values = self._above.ways[self._joins], {**self._above.nothing, "limit": 1, "widest": 1}
        ready = await way.ready(self.server, values)
        async with self._access.briefly() as connection:
            await ready.over(connection, values)

    async def within(self, holes: Intervals, portion: Portion) -> Found:
        """The first rows whose ids lie in the holes, in id order, as many as fit."""
        lows, highs = zip(*holes.pairs, strict=True)
        return await self._fitting(self._within, {"lows": list(lows), "highs": list(highs)}, portion)

    async def _fitting(self, question: Question, parameters: Mapping[str, Any], portion: Portion) -> Found:
        """Read the portion; if a row is too wide for it, read a smaller one at once."""
        portion = self._bounded(portion)
        while True:
            limits = {"limit": portion.rows, "widest": portion.widest}
            try:
                answer = await self._row(question.ways[self._joins], {**parameters, **limits})
            except READ_ERRORS as error:
                await self._blame_rows(error, question.ways[self._joins], question.nothing, alone=portion.rows == 1)
                try:
                    return await self._around(question.names, parameters, portion)
                except TooWide as wide:
                    portion = portion.after(wide.widest)
                    continue
            fingerprint, inserted, flushed, widest, ids, *folded = answer
            self._check(fingerprint)
            asked, portion = portion, portion.after(widest)
            if widest is not None and widest > asked.widest:
                continue
            rows = self._table.parted(ids, folded) if ids else Rows()
            if rows is not None:
                reached = rows.ids[-1] if rows else None
                return Found(rows, len(rows) >= asked.rows, portion, inserted, flushed, reached)
            self._joins = False  # a table with one such text usually has more

    async def _around(self, names: Statement, parameters: Mapping[str, Any], portion: Portion) -> Found:
        """Read the names of the portion's rows, then the rows by uuid."""
        answer = await self._row(names, {**parameters, "limit": portion.rows})
        fingerprint, inserted, flushed, ids, uuids = answer
        self._check(fingerprint)
        ids, uuids = ids or [], uuids or []
        around = await self._read_around(ids, uuids, portion)
        rows, unread_ids, unread = around.named(ids, uuids)
        full = len(ids) >= portion.rows or around.settled < len(ids)
        reached = ids[around.settled - 1] if around.settled else None
        return Found(rows, full, portion, inserted, flushed, reached, unread, list(unread_ids.values()))

    async def _blame_rows(
        self, error: Exception, statement: Statement, nothing: Mapping[str, Any], *, alone: bool
    ) -> None:
        """Check that rows caused the error of a read: it does not occur when no row is requested.

        Raises:
            Exception: the same error if rows did not cause it, or the error that prevented the check.
        """
        if fault_of(error, self.server.label, alone=alone) is None:
            raise error
        try:
            await self._row(statement, {**nothing, "limit": 1, "widest": 1})
        except SnkError as other:
            # A driver's UnicodeDecodeError is not an SnkError. Then the connection failed after it: raise that error.
            raise (error if isinstance(error, SnkError) else other) from error.__cause__

    async def named(self, uuids: Sequence[str], portion: Portion) -> Named:
        """The rows of the first of these uuids: as many as fit into the portion, at least one."""
        portion = self._bounded(portion)
        while True:
            asked = list(uuids[: portion.rows])
            try:
                try:
                    rows, widest = await self._by_name(asked, portion)
                except READ_ERRORS as error:
                    await self._blame_rows(error, self._named, {"uuids": []}, alone=len(asked) == 1)
                    around = await self._read_around(range(len(asked)), asked, portion)
                    return Named(around.rows, around.settled, portion, around.unread)
            except TooWide as wide:
                portion = portion.after(wide.widest)
            else:
                return Named(rows, len(asked), portion.after(widest))

    async def _read_around(self, ids: Sequence[int], uuids: Sequence[str], portion: Portion) -> Around:
        async def give(some: Sequence[str]) -> Rows:
            return (await self._by_name(some, portion))[0]

        return await read_around(ids, uuids, give, self.server.label)

    async def _by_name(self, uuids: Sequence[str], portion: Portion) -> tuple[Rows, int | None]:
        """The rows of these uuids, and the width of the widest.

        Raises:
            TooWide: a row exceeds its share of the portion.
        """
        answer = await self._row(self._named, {"uuids": list(uuids), "widest": portion.widest})
        fingerprint, widest, ids, *folded = answer
        self._check(fingerprint)
        if widest is not None and widest > portion.widest:
            raise TooWide(widest)
        return (self._table.rows(ids, folded) if ids else Rows()), widest

    async def made_in(self, ids: Sequence[int], transactions: Sequence[int]) -> dict[str, int]:
        """The rows that have one of these ids and were inserted in one of these transactions: transaction by uuid."""
        values = {"ids": ids, "transactions": [str(number) for number in transactions]}
        async with self._access.using("read") as connection:
            return {row[0]: row[1] for row in await connection.execute(self._made_in, values)}

    async def transactions_of(self, uuids: Sequence[str]) -> frozenset[int]:
        """The transactions in which these rows were inserted. A savepoint has its own number."""
        made_in = sa.select(deliveries.MADE_IN).where(any_of(self._table)).distinct()
        async with self._access.using("read") as connection:
            return frozenset((await connection.execute(made_in, {"uuids": list(uuids)})).scalars())

    async def writers(self) -> frozenset[str]:
        """Every transaction that could still fill a hole."""
        async with self._access.using() as connection:
            return await activity.writers(connection, self._table.shape.lockable)

    async def blockers(self, names: frozenset[str]) -> list[Blocker]:
        """Details of the named writers."""
        async with self._access.using() as connection:
            return await activity.blockers(connection, self._table.shape.lockable, names)

    async def bounds(self) -> tuple[int | None, int | None]:
        """The least and the greatest id in the table; None for an empty table."""
        low, high = await self._row(self._bounds, kind="look")
        return low, high

    async def went_back(self, high: int, greatest: int | None) -> bool:
        """Whether ids below the mark may be drawn again: its row is gone, and the sequence is not above the mark."""
        if high <= (self.floor if greatest is None else greatest):
            return False
        sequence = self._table.shape.id_column.sequence
        if sequence is None:
            return True
        async with self._access.using() as connection:
            (drawn,) = await lookup.drawn(connection, [sequence.oid])
        return drawn is None or drawn < high

    def _bounded(self, portion: Portion) -> Portion:
        return portion.bounded(min(portion.most_rows, self._table.most_rows), portion.most_bytes)

    def _check(self, fingerprint: str | None) -> None:
        if fingerprint != self._table.shape.row_fingerprint:
            raise changed(self.server, self._table.shape)

    async def get_ready(self) -> None:
        """Make the statement of `named` now, so that it takes no time later."""
        await self._named.ready(self.server, ("uuids", "widest"))

    async def _row(
        self, statement: Statement, parameters: Mapping[str, Any] | None = None, kind: Kind = "read"
    ) -> list[Any]:
        ready = await statement.ready(self.server, parameters or ())
        async with self._access.using(kind) as connection:
            savepoint = connection.begin_nested() if self._in_transaction else nullcontext()
            async with savepoint:
                return list((await ready.over(connection, parameters or {})).one())
