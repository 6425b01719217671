"""Reading a table by its id: the three questions a tail asks of its source."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import Intervals
from snk.db import catalog
from snk.db.functions import setting
from snk.db.server import Kind, Server
from snk.errors import SnkError
from snk.pair.catalog import activity, lookup
from snk.pair.core.portion import Portion
from snk.pair.core.report import Blocker
from snk.pair.schema import own as schema
from snk.pair.table import deliveries, questions
from snk.pair.table.check import changed
from snk.pair.table.questions import Question, any_of
from snk.pair.table.rejects import Refusal
from snk.pair.table.statement import Statement
from snk.pair.table.synced import Rows, SyncedTable
from snk.pair.table.unreadable import READ_ERRORS, Around, TooWide, fault_of, read_around

# Statistics lag behind a table that grows, and by old ones the planner reads all of it for the few rows at its end.
# With that forbidden, there is one good plan for each statement, and no need to look for it again every time.
BY_INDEX = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_generic_plan",
}


async def plan_by_index(connection: AsyncConnection) -> None:
    """Have the planner of this session use indexes wherever there are any, whatever the statistics say."""
    await connection.execute(sa.select(*(setting(name, value) for name, value in BY_INDEX.items())))


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
        reached: the last id that was looked at; None where there was none.
        unread: why rows that are there cannot be given, by uuid (`snk.pair.table.unreadable`).
        unread_ids: the ids of these.
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
    """What was found under some names.

    Attributes:
        rows: in no order; names that nothing has are not among them.
        asked: how many of the names were asked for, from the first on; with more there might have been too many bytes.
        portion: what to ask for the next time.
        unread: why rows that are there cannot be given, by uuid.
    """

    rows: Rows
    asked: int
    portion: Portion
    unread: Mapping[str, Refusal] = field(default_factory=dict)


class Reader:
    """Reads one table over one connection; every call is one statement with a snapshot of its own.

    Only what cannot be given takes several: it is read around (`snk.pair.table.unreadable`).

    Args:
        server: where the table is.
        connection: to it.
        table: the table.
        in_transaction: the connection is in a transaction, which is to outlive a statement that fails.
    """

    def __init__(
        self, server: Server, connection: AsyncConnection, table: SyncedTable, *, in_transaction: bool = False
    ) -> None:
        self._server = server
        self._connection = connection
        self._table = table
        self._in_transaction = in_transaction
        self._above = questions.above(table)
        self._within = questions.within(table)
        self._joins = True
        self._named = Statement(table, questions.named)
        self._wait = Statement(table, questions.wait)
        self._can_wait: bool | None = None
        self._made_in = questions.made_in(table)
        self._bounds = Statement(table, questions.bounds)

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

    async def _fitting(self, question: Question, parameters: Mapping[str, Any], portion: Portion) -> Found:
        """Ask for the portion, and where a row is too wide for it, at once for a smaller one."""
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
            self._joins = False  # where one such text is, there are more

    async def _around(self, names: Statement, parameters: Mapping[str, Any], portion: Portion) -> Found:
        """Ask for the portion by the names of its rows."""
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
        """See that rows are to blame for the error of a read: it goes away where none is asked for.

        Raises:
            Exception: the same error, where they are not; or why that could not be seen.
        """
        if fault_of(error, self._server.label, alone=alone) is None:
            raise error
        try:
            await self._row(statement, {**nothing, "limit": 1, "widest": 1})
        except SnkError as other:
            # What the driver cannot read is no error of SNK's: then it is the connection that failed since.
            raise (error if isinstance(error, SnkError) else other) from error.__cause__

    async def named(self, uuids: Sequence[str], portion: Portion) -> Named:
        """The rows of the first of these uuids, of as many as fit into the portion, and of one at least."""
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

        return await read_around(ids, uuids, give, self._server.label)

    async def _by_name(self, uuids: Sequence[str], portion: Portion) -> tuple[Rows, int | None]:
        """The rows of these uuids, and how wide the widest is.

        Raises:
            TooWide: one has more than its share of the portion.
        """
        answer = await self._row(self._named, {"uuids": list(uuids), "widest": portion.widest})
        fingerprint, widest, ids, *folded = answer
        self._check(fingerprint)
        if widest is not None and widest > portion.widest:
            raise TooWide(widest)
        return (self._table.rows(ids, folded) if ids else Rows()), widest

    async def made_in(self, ids: Sequence[int], transactions: Sequence[int]) -> dict[str, int]:
        """Of the rows with these ids, those that were made in these transactions: the transaction, by uuid."""
        values = {"ids": ids, "transactions": [str(number) for number in transactions]}
        async with self._server.answering(self._connection, "read"):
            found = await self._connection.execute(self._made_in, values)
        return {row[0]: row[1] for row in found}

    async def transactions_of(self, uuids: Sequence[str]) -> frozenset[int]:
        """The transactions in which these rows were made. A savepoint has a number of its own."""
        made_in = sa.select(deliveries.MADE_IN).where(any_of(self._table)).distinct()
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

    async def went_back(self, high: int, greatest: int | None) -> bool:
        """Whether ids below the mark may be drawn again: its row is gone, and its sequence does not stand above it."""
        if high <= (self.floor if greatest is None else greatest):
            return False
        sequence = self._table.shape.id_column.sequence
        if sequence is None:
            return True
        async with self._server.answering(self._connection):
            drawn = await lookup.drawn(self._connection, sequence.oid)
        return drawn is None or drawn < high

    def _bounded(self, portion: Portion) -> Portion:
        return portion.bounded(min(portion.most_rows, self._table.most_rows), portion.most_bytes)

    def _check(self, fingerprint: str | None) -> None:
        if fingerprint != self._table.shape.row_fingerprint:
            raise changed(self._server, self._table.shape)

    async def get_ready(self) -> None:
        """Make what `named` needs now, so that it takes no time later."""
        await self._named.over(self._connection, ("uuids", "widest"))

    async def _row(
        self, statement: Statement, parameters: Mapping[str, Any] | None = None, kind: Kind = "read"
    ) -> list[Any]:
        ready = await statement.over(self._connection, parameters or ())
        savepoint = self._connection.begin_nested() if self._in_transaction else nullcontext()
        async with self._server.answering(self._connection, kind), savepoint:
            return list((await self._connection.execute(ready, parameters)).one())
