"""Writing a batch and its mark into the destination, together or not at all.

The usual case is one statement, one round trip, one transaction: a common table expression moves the mark if it is
still at the version that this process wrote last, and the rows are inserted only if the mark moved. SNK tries a plain
INSERT first, because it is 1.5 times as fast as ON CONFLICT. Only if the server refuses the statement does SNK repeat
the batch carefully: it sets refused rows aside (`snk.pair.table.narrow`) and compares rows that already exist.

A mark can be moved only under the latest lease of its table. The epoch of the lease is stored in the mark, and a daemon
that takes a lease claims the marks with a greater epoch. A daemon that was suspended meanwhile finds the mark moved,
whatever it still had to write.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import NOTHING, Intervals
from snk.db.access import Access
from snk.db.errors import FOREIGN_KEY_VIOLATION, plain, sqlstate
from snk.errors import ParentMissing
from snk.pair.core.ledger import Ledger
from snk.pair.schema.own import LedgerKept
from snk.pair.table.conflicts import Conflicts
from snk.pair.table.deliveries import MOVE_MARK, deliver, insert_missing
from snk.pair.table.left import in_conflict, set_aside
from snk.pair.table.marks import MOST_INTERVALS, MarkState, moved, versions
from snk.pair.table.narrow import insert_narrowly, of_these_rows
from snk.pair.table.questions import any_of
from snk.pair.table.reader import Reader
from snk.pair.table.rejects import Aside, Refusal, Rejects
from snk.pair.table.statement import Ready, Statement
from snk.pair.table.synced import Rows, SyncedTable, bound

MANY_ROWS = 256  # from this number on, inserting in uuid order costs a seventh less; fewer rows keep their order
NOTHING_ASIDE: Mapping[str, Refusal] = MappingProxyType({})
Parents = Callable[[], Awaitable[bool]]
"""Waits for rows in transit to other tables; returns False if waiting is no longer useful."""

NOT_TAKEN = Refusal("", "the INSERT succeeded but inserted no row: a trigger of this database drops it")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The outcome of a delivered batch.

    Attributes:
        inserted: how many rows are new in the destination.
        present: the uuids that existed before: echoes, replays and conflicts.
        refused: the uuids that the destination refuses; they were set aside.
        conflicts: the uuids of conflicts that were not known yet; they are recorded now.
        made_in: the transactions in which rows were inserted, if there are triggers that may insert other rows.
    """

    inserted: int
    present: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    made_in: frozenset[int] = frozenset()

    @property
    def absent(self) -> tuple[str, ...]:
        """The uuids for which no echo will arrive."""
        return self.present + self.refused


@dataclass(frozen=True, slots=True)
class _Task:
    """The arguments of `Writer.deliver`, processed in one transaction."""

    rows: Rows
    state: MarkState
    again: Sequence[str]
    aside: Mapping[str, Refusal]


class Writer:
    """Writes one table and its mark.

    Args:
        access: to the destination.
        table: the table to write.
        watches_triggers: report in which transactions rows were inserted (`Delivered.made_in`).
    """

    def __init__(self, access: Access, table: SyncedTable, *, watches_triggers: bool = False) -> None:
        self._access = access
        self._table = table
        self._key = table.shape.full_name
        self._watches_triggers = watches_triggers
        self._careful = False
        self._kept = (NOTHING, NOTHING)
        self._reader = Reader(access, table)
        self._conflicts = Conflicts(self._reader, table)
        few = partial(deliver, tells=watches_triggers)
        many = partial(few, by_uuid=True)
        self._deliver_few = Statement(table, few, ("few", watches_triggers))
        self._deliver_many = Statement(table, many, ("many", watches_triggers))
        self._deliver_joined = Statement(table, partial(many, joined=True), ("joined", watches_triggers))
        self._insert_missing = Statement(table, insert_missing, "missing")

    async def prepare(self) -> None:
        """Have the server prepare the statement for few rows, by one that moves no mark and so writes nothing.

        Triggers of statements and rules would fire all the same: with such, the first rows wait for it.
        """
        if self._watches_triggers or self._table.shape.drops:
            return
        values = {**bound([[]] * len(self._table.columns)), **self._moved(MarkState(version=-1, epoch=-1)), "rows": 0}
        ready = await self._deliver_few.ready(self._access.server, values)
        async with self._access.briefly() as connection:
            await ready.over(connection, values)

    async def held(self, uuids: Sequence[str]) -> frozenset[str]:
        """Those of these uuids that exist in the table."""
        async with self._access.using("read") as connection:
            held = sa.select(self._table.uuid).where(any_of(self._table))
            return frozenset((await connection.execute(held, {"uuids": list(uuids)})).scalars())

    async def see_unmoved(self, state: MarkState) -> None:
        """Check that the mark is at ``state.version``.

        Raises:
            MarkMoved: it is not.
        """
        async with self._access.using() as connection:
            found = await versions(connection, [self._key])
        self._check_moved(found.get(self._key) == state.version)

    async def conflicts(self) -> int:
        """The number of conflicts of this table that are recorded here."""
        async with self._access.using() as connection:
            return (await in_conflict(connection, [self._key]))[self._key]

    async def keep_ledger(self, ledger: Ledger) -> None:
        """Save the ledger for later sessions, outside of the mark's transaction, because it only says where to look."""
        lows, highs = ([pair[end] for pair in ledger.finished.pairs] for end in (0, 1))
        keep = insert(LedgerKept).values(table_name=self._key, lows=lows, highs=highs)
        keep = keep.on_conflict_do_update(index_elements=[LedgerKept.table_name], set_={"lows": lows, "highs": highs})
        async with self._access.using() as connection:
            await connection.execute(keep)

    async def rejected(self) -> Aside:
        """The number of rows of this table that are set aside here."""
        async with self._access.using() as connection:
            return (await set_aside(connection, [self._key]))[self._key]

    async def due(self, limit: int, *, hopeful: bool = False) -> list[str]:
        """The uuids of rows that are set aside and due for a retry, as `Rejects.due` returns them."""
        async with self._access.using() as connection:
            return await Rejects(connection, self._key).due(limit, hopeful=hopeful)

    @property
    def table_name(self) -> str:
        """`Shape.full_name` here, in the destination."""
        return self._key

    async def move(self, state: MarkState) -> MarkState:
        """Move the mark without rows.

        Returns:
            The state with its new version.

        Raises:
            MarkMoved: the mark was not at ``state.version``.
        """
        async with self._access.using() as connection:
            result = await connection.execute(MOVE_MARK, self._moved(state))
        self._check_moved(result.rowcount)
        return replace(state, version=state.version + 1)

    async def deliver(
        self,
        rows: Rows,
        state: MarkState,
        again: Sequence[str] = (),
        parents: Parents | None = None,
        aside: Mapping[str, Refusal] = NOTHING_ASIDE,
    ) -> tuple[Delivered, MarkState]:
        """Insert the missing rows and move the mark, in one transaction.

        Args:
            rows: rows of the source.
            state: the mark that is valid once these rows exist.
            again: uuids that were set aside. A uuid that is no longer refused, or is not among the rows, is forgotten.
            parents: waits for rows to which these refer; without it, rows that lack one are set aside at once.
            aside: rows to set aside with the mark instead of inserting them; they are not among ``rows``.

        Returns:
            The outcome, and the state with its new version.

        Raises:
            MarkMoved: the mark was not at ``state.version``, or there is a later lease; nothing was written.
            TooLarge: so many rows are refused that smaller batches work better; nothing was written.
        """
        if not (rows or again or aside):
            return Delivered(0), await self.move(state)
        task = _Task(rows, state, again, aside)
        delivered = await self._deliver(task, patient=parents is not None)
        while delivered is None:
            # No transaction is open during the wait.
            delivered = await self._deliver(task, patient=parents is not None and await parents())
        # After a restart or a lost dedup set, runs of rows exist already; refused rows also come in runs.
        self._careful = bool(delivered.absent)
        return delivered, replace(state, version=state.version + 1)

    async def _deliver(self, task: _Task, *, patient: bool) -> Delivered | None:
        """One attempt; None, with nothing written, if SNK should wait for rows to which these refer."""
        try:
            delivered = None
            if not (self._careful or task.again or task.aside):
                delivered = await self._deliver_plainly(task.rows, task.state, patient=patient)
            return delivered or await self._deliver_carefully(task, patient=patient)
        except ParentMissing:
            return None

    async def _deliver_plainly(self, rows: Rows, state: MarkState, *, patient: bool) -> Delivered | None:
        """One statement; None, with nothing written, if the server refused it, for instance for the unique key."""
        statement, values = self._statement(rows)
        values = {**values, **self._moved(state), "rows": len(rows)}
        ready = await statement.ready(self._access.server, values)
        refused: DBAPIError | None = None
        made_in: list[int] = []
        async with self._access.using("write") as connection:
            try:
                moved, *made_in = (await ready.over(connection, values)).one()
            except DBAPIError as error:
                if not of_these_rows(error, len(rows)):
                    raise
                refused = error
        if refused is not None:
            if patient and sqlstate(refused) == FOREIGN_KEY_VIOLATION:
                raise ParentMissing(plain(refused)) from refused
            return None
        self._check_moved(moved)
        return Delivered(len(rows), made_in=frozenset(made_in))

    def _statement(self, rows: Rows) -> tuple[Statement, dict[str, Any]]:
        """The best statement for this number of rows, with the rows as its parameters."""
        if len(rows) < MANY_ROWS:
            return self._deliver_few, bound(rows.columns)
        if (values := self._table.joined(rows.columns)) is not None:
            return self._deliver_joined, values
        return self._deliver_many, bound(rows.columns)

    async def _deliver_carefully(self, task: _Task, *, patient: bool) -> Delivered:
        statement = await self._insert_missing.ready(self._access.server, self._table.labels)
        await self._conflicts.get_ready()
        async with self._access.transaction("write") as connection:
            return await self._narrowed(connection, task, statement, patient=patient)

    async def _narrowed(
        self, connection: AsyncConnection, task: _Task, statement: Ready, *, patient: bool
    ) -> Delivered:
        """Move the mark, insert the accepted rows and set the others aside, in a transaction."""
        rows, rejects = task.rows, Rejects(connection, self._key)
        result = await connection.execute(MOVE_MARK, self._moved(task.state))
        self._check_moved(result.rowcount)
        narrowed = await insert_narrowly(connection, statement, rows, patient=patient)
        settled = narrowed.inserted | narrowed.refused.keys()
        there = rows.where([uuid not in settled for uuid in rows.uuids])
        compared = await self._conflicts.compare(connection, there)
        missing = dict.fromkeys(compared.missing, NOT_TAKEN)
        refused = {**narrowed.refused, **missing, **compared.unread, **task.aside}
        await rejects.keep(refused)
        await rejects.forget([uuid for uuid in task.again if uuid not in refused])
        made_in = await self._made_in(connection, narrowed.inserted)
        present = tuple(uuid for uuid in there.uuids if uuid not in refused)
        return Delivered(len(narrowed.inserted), present, tuple(refused), compared.conflicts, made_in)

    async def _made_in(self, connection: AsyncConnection, inserted: AbstractSet[str]) -> frozenset[int]:
        if not (self._watches_triggers and inserted):
            return frozenset()
        return await self._reader.inside(connection).transactions_of(list(inserted))

    def _moved(self, state: MarkState) -> dict[str, Any]:
        kept = self._coarse(state.holes)
        values = replace(state, holes=kept).values
        return {"key": self._key, "expected": state.version, "lease": state.epoch, **values}

    def _coarse(self, holes: Intervals) -> Intervals:
        """The holes, reduced to the number that a mark stores; usually they are the same as in the last mark."""
        if holes is not self._kept[0]:
            self._kept = (holes, holes.coarse(MOST_INTERVALS))
        return self._kept[1]

    def _check_moved(self, count: int) -> None:
        if not count:
            raise moved(self._key)
