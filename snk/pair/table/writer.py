"""Writing a batch and its mark into the destination, together or not at all.

The usual case is one statement, one round trip, one transaction: a common table expression moves the mark if it is
still at the version that was last written here, and the rows are inserted only if it moved. Plain insertion comes
first because it is half again as fast as ON CONFLICT; only when the server objects to something is the batch repeated
the careful way: rows that it refuses are set aside (`snk.pair.table.narrow`), and what was there already is compared.

A mark can be moved only under the latest lease of its table: its epoch stands in the mark, and whoever takes a lease
claims the marks with a greater one. A daemon that was asleep meanwhile finds the mark moved, whatever it still had to
write.
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
from snk.db.errors import FOREIGN_KEY_VIOLATION, plain, sqlstate
from snk.db.server import Server
from snk.errors import LeaseLost, MarkMoved, ParentMissing
from snk.pair.catalog import lookup
from snk.pair.core.ledger import Ledger
from snk.pair.schema.own import Conflict, LedgerKept, Mark
from snk.pair.table.conflicts import Conflicts
from snk.pair.table.deliveries import MARK_VERSION, MOVE_MARK, deliver, insert_missing
from snk.pair.table.narrow import insert_narrowly, of_these_rows
from snk.pair.table.questions import any_of
from snk.pair.table.reader import Reader
from snk.pair.table.rejects import Aside, Refusal, Rejects
from snk.pair.table.statement import Statement
from snk.pair.table.synced import Rows, SyncedTable, bound

MOST_INTERVALS = 1000
MANY_ROWS = 256  # in the order of their uuids a seventh cheaper; fewer keep the order in which they came
NOTHING_ASIDE: Mapping[str, Refusal] = MappingProxyType({})
Parents = Callable[[], Awaitable[bool]]
"""Waits for rows that are on their way into other tables; False where that is of no use any more."""

NOT_TAKEN = Refusal("", "the INSERT succeeded but inserted no row: a trigger of this database drops it")


@dataclass(frozen=True, slots=True)
class MarkState:
    """A mark as a value; `snk.pair.schema.own.Mark` tells what its parts mean."""

    version: int = 0
    high: int = 0
    safe: int = 0
    holes: Intervals = NOTHING
    source: str = ""
    boot: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a batch.

    Attributes:
        inserted: how many rows are new in the destination.
        present: the uuids that were there before: echoes, replays and conflicts.
        refused: the uuids that the destination refuses; they were set aside.
        conflicts: the uuids of conflicts that were not known yet, and are recorded now.
        made_in: the transactions in which rows were inserted, where there are triggers that may add others.
    """

    inserted: int
    present: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    made_in: frozenset[int] = frozenset()

    @property
    def absent(self) -> tuple[str, ...]:
        """The uuids of which no echo will come."""
        return self.present + self.refused


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be done together, as `Writer.deliver` tells."""

    rows: Rows
    state: MarkState
    again: Sequence[str]
    aside: Mapping[str, Refusal]


class Writer:
    """Writes one table over one connection, and keeps the mark beside it.

    Args:
        server: the destination.
        connection: to it.
        table: where to write.
        watches_triggers: say in which transactions rows were inserted (`Delivered.made_in`).
    """

    def __init__(
        self, server: Server, connection: AsyncConnection, table: SyncedTable, *, watches_triggers: bool = False
    ) -> None:
        self._server = server
        self._connection = connection
        self._table = table
        self._key = table.shape.full_name
        self._watches_triggers = watches_triggers
        self._careful = False
        self._kept = (NOTHING, NOTHING)
        self._reader = Reader(server, connection, table, in_transaction=True)
        self._conflicts = Conflicts(connection, self._reader, table)
        many = partial(deliver, by_uuid=True, tells=watches_triggers)
        self._deliver_few = Statement(table, partial(deliver, tells=watches_triggers))
        self._deliver_many = Statement(table, many)
        self._deliver_joined = Statement(table, partial(many, joined=True))
        self._insert_missing = Statement(table, insert_missing)
        self._held = sa.select(table.uuid).where(any_of(table))
        self._rejects = Rejects(connection, self._key)

    async def load_mark(self) -> MarkState | None:
        """The mark as it stands, or None where this table was never written by SNK."""
        found = sa.select(Mark.__table__).where(Mark.table_name == self._key)
        async with self._server.answering(self._connection):
            row = (await self._connection.execute(found)).mappings().one_or_none()
        if row is None:
            return None
        holes = Intervals.of(zip(row["holes_low"], row["holes_high"], strict=True))
        return MarkState(row["version"], row["high"], row["safe"], holes, row["source"], row["boot"], row["epoch"])

    async def create_mark(self, state: MarkState) -> None:
        """Write the first mark of a table, unless somebody else was faster."""
        first = insert(Mark).values(table_name=self._key, **_values(state), version=state.version, epoch=state.epoch)
        async with self._server.answering(self._connection):
            await self._connection.execute(first.on_conflict_do_nothing())

    async def claim(self, state: MarkState, epoch: int) -> MarkState:
        """From now on only those write this mark, and the rows that go with it, who have the lease of this epoch.

        Raises:
            LeaseLost: a later epoch has it.
            MarkMoved: it was not at ``state.version``.
        """
        if state.epoch > epoch:
            raise LeaseLost(
                f"{self._key}: epoch {state.epoch} has the lease, not this daemon's {epoch}", epoch=state.epoch
            )
        if state.epoch == epoch:
            return state
        claim = sa.update(Mark).where(Mark.table_name == self._key, Mark.version == state.version, Mark.epoch < epoch)
        async with self._server.answering(self._connection):
            result = await self._connection.execute(claim.values(epoch=epoch, version=Mark.version + 1))
        self._check_moved(result.rowcount)
        return replace(state, epoch=epoch, version=state.version + 1)

    async def held(self, uuids: Sequence[str]) -> frozenset[str]:
        """Which of these uuids the table holds."""
        async with self._server.answering(self._connection, "read"):
            return frozenset((await self._connection.execute(self._held, {"uuids": list(uuids)})).scalars())

    async def version(self) -> int | None:
        """The version of the mark as it stands."""
        async with self._server.answering(self._connection):
            return (await self._connection.execute(MARK_VERSION, {"key": self._key})).scalar_one_or_none()

    async def conflicts(self) -> int:
        """How many conflicts of this table are recorded here."""
        count = sa.select(sa.func.count()).where(Conflict.table_name == self._key)
        async with self._server.answering(self._connection):
            return (await self._connection.execute(count)).scalar_one()

    async def load_ledger(self) -> Ledger:
        """The ledger as it was kept last."""
        found = sa.select(LedgerKept.lows, LedgerKept.highs).where(LedgerKept.table_name == self._key)
        async with self._server.answering(self._connection):
            row = (await self._connection.execute(found)).one_or_none()
        return Ledger(Intervals.of(zip(row.lows, row.highs, strict=True))) if row else Ledger()

    async def keep_ledger(self, ledger: Ledger) -> None:
        """Keep it for later sessions. It only says where to look, so it needs no place in the mark's transaction."""
        lows, highs = ([pair[end] for pair in ledger.finished.pairs] for end in (0, 1))
        keep = insert(LedgerKept).values(table_name=self._key, lows=lows, highs=highs)
        keep = keep.on_conflict_do_update(index_elements=[LedgerKept.table_name], set_={"lows": lows, "highs": highs})
        async with self._server.answering(self._connection):
            await self._connection.execute(keep)

    async def rejected(self) -> Aside:
        """How many rows of this table are set aside here."""
        async with self._server.answering(self._connection):
            return await self._rejects.count()

    async def due(self, limit: int, *, hopeful: bool = False) -> list[str]:
        """The uuids of rows that were set aside and are to be tried again now; `Rejects.due` tells the rest."""
        async with self._server.answering(self._connection):
            return await self._rejects.due(limit, hopeful=hopeful)

    async def parents(self) -> frozenset[str]:
        """The tables to which foreign keys of this one refer."""
        async with self._server.answering(self._connection):
            return await lookup.parents(self._connection, self._table.shape.relations)

    @property
    def table_name(self) -> str:
        """`Shape.full_name` here, in the destination."""
        return self._key

    async def move(self, state: MarkState) -> MarkState:
        """Move the mark without rows.

        Returns:
            The state with its new version.

        Raises:
            MarkMoved: it was not at ``state.version``.
        """
        async with self._server.answering(self._connection):
            result = await self._connection.execute(MOVE_MARK, self._moved(state))
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
        """Insert what is missing of the rows and move the mark, in one transaction.

        Args:
            rows: what the source holds.
            state: the mark that is true when they are there.
            again: uuids that were set aside; those not refused any more, and those not among the rows, are forgotten.
            parents: waits for rows to which these refer; without it, those that lack one are set aside at once.
            aside: rows that are not to be inserted at all, but set aside with the mark; they are not among the others.

        Returns:
            What became of the rows, and the state with its new version.

        Raises:
            MarkMoved: the mark was not at ``state.version``, or somebody has a later lease; nothing was written.
            TooLarge: so many rows are refused that smaller batches serve better; nothing was written.
        """
        if not (rows or again or aside):
            return Delivered(0), await self.move(state)
        task = _Task(rows, state, again, aside)
        delivered = await self._deliver(task, patient=parents is not None)
        while delivered is None:
            # No transaction is open meanwhile.
            delivered = await self._deliver(task, patient=parents is not None and await parents())
        # A restart or a lost dedup set brings runs of rows that are there already; refused ones come in runs, too.
        self._careful = bool(delivered.absent)
        return delivered, replace(state, version=state.version + 1)

    async def _deliver(self, task: _Task, *, patient: bool) -> Delivered | None:
        """One try; None, with nothing written, where it is worth waiting for rows to which these refer."""
        try:
            delivered = None
            if not (self._careful or task.again or task.aside):
                delivered = await self._deliver_plainly(task.rows, task.state, patient=patient)
            return delivered or await self._deliver_carefully(task, patient=patient)
        except ParentMissing:
            return None

    async def _deliver_plainly(self, rows: Rows, state: MarkState, *, patient: bool) -> Delivered | None:
        """One statement; None when something was refused, be it by the unique key, and then nothing was written."""
        statement, values = self._statement(rows)
        values = {**values, **self._moved(state), "rows": len(rows)}
        ready = await statement.over(self._connection, values)
        async with self._server.answering(self._connection, "write"):
            try:
                moved, *made_in = (await self._connection.execute(ready, values)).one()
            except DBAPIError as error:
                if not of_these_rows(error, len(rows)):
                    raise
                if patient and sqlstate(error) == FOREIGN_KEY_VIOLATION:
                    raise ParentMissing(plain(error)) from error
                return None
        self._check_moved(moved)
        return Delivered(len(rows), made_in=frozenset(made_in))

    def _statement(self, rows: Rows) -> tuple[Statement, dict[str, Any]]:
        """What suits so many rows best, with the rows as its parameters."""
        if len(rows) < MANY_ROWS:
            return self._deliver_few, bound(rows.columns)
        if (values := self._table.joined(rows.columns)) is not None:
            return self._deliver_joined, values
        return self._deliver_many, bound(rows.columns)

    async def _deliver_carefully(self, task: _Task, *, patient: bool) -> Delivered:
        statement = await self._insert_missing.over(self._connection, self._table.labels)
        await self._conflicts.get_ready()
        async with self._server.answering(self._connection, "write"):
            await self._connection.commit()  # nothing is open; SQLAlchemy wants it before the isolation level changes
            connection = await self._connection.execution_options(isolation_level="READ COMMITTED")
            try:
                delivered = await self._narrowed(connection, task, statement, patient=patient)
            except ParentMissing:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                raise
            # Not after any other error: the session ends, and to touch a dead connection would open another one.
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            return delivered

    async def _narrowed(
        self, connection: AsyncConnection, task: _Task, statement: sa.Executable, *, patient: bool
    ) -> Delivered:
        """The careful way, in a transaction of its own."""
        rows = task.rows
        async with connection.begin():
            result = await connection.execute(MOVE_MARK, self._moved(task.state))
            self._check_moved(result.rowcount)
            narrowed = await insert_narrowly(connection, statement, rows, patient=patient)
            settled = narrowed.inserted | narrowed.refused.keys()
            there = rows.where([uuid not in settled for uuid in rows.uuids])
            compared = await self._conflicts.compare(there)
            missing = dict.fromkeys(compared.missing, NOT_TAKEN)
            refused = {**narrowed.refused, **missing, **compared.unread, **task.aside}
            await self._rejects.keep(refused)
            await self._rejects.forget([uuid for uuid in task.again if uuid not in refused])
            made_in = await self._made_in(narrowed.inserted)
        present = tuple(uuid for uuid in there.uuids if uuid not in refused)
        return Delivered(len(narrowed.inserted), present, tuple(refused), compared.conflicts, made_in)

    async def _made_in(self, inserted: AbstractSet[str]) -> frozenset[int]:
        if not (self._watches_triggers and inserted):
            return frozenset()
        return await self._reader.transactions_of(list(inserted))

    def _moved(self, state: MarkState) -> dict[str, Any]:
        kept = self._coarse(state.holes)
        values = _values(replace(state, holes=kept))
        return {"key": self._key, "expected": state.version, "lease": state.epoch, **values}

    def _coarse(self, holes: Intervals) -> Intervals:
        """As many of them as a mark keeps; mostly they are the same as in the last one."""
        if holes is not self._kept[0]:
            self._kept = (holes, holes.coarse(MOST_INTERVALS))
        return self._kept[1]

    def _check_moved(self, count: int) -> None:
        if not count:
            raise MarkMoved(f"{self._key}: the mark is not the one last written here")


def _values(state: MarkState) -> dict[str, Any]:
    holes = state.holes.coarse(MOST_INTERVALS).pairs
    return {
        "high": state.high,
        "safe": state.safe,
        "holes_low": [low for low, _ in holes],
        "holes_high": [high for _, high in holes],
        "source": state.source,
        "boot": state.boot,
    }
