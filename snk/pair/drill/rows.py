"""Faults of rows and tables: what a client of one of the databases may do at any time."""

import time
from contextlib import AsyncExitStack

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.server import Server
from snk.pair.drill.fault import Fault
from snk.pair.drill.stage import Stage, until
from snk.pair.drill.table import NAME, drill_table, durable, new_row
from snk.pair.table.rejects import hasten

REFUSAL = "snk_drill_refuses"
COLUMN = "note"
NOTE = "written when the table had a new column"


class OpenTransaction(Fault):
    """Other transactions commit greater ids meanwhile, and its own ids may appear at any time."""

    name = "open-transaction"
    sentence = (
        "a transaction stays open on each side while others commit; its rows come last, and nobody waits for them"
    )

    def __init__(self) -> None:
        self._open = AsyncExitStack()
        self._commit: list[tuple[AsyncConnection, list[dict[str, str]]]] = []

    async def inflict(self, stage: Stage) -> str:
        """Insert on each side without committing, and check that rows committed after it arrive."""
        self._open = await stage.cleanup.enter_async_context(AsyncExitStack())
        for side in stage.place.sides:
            connection = await self._open.enter_async_context(durable(side))
            rows = [new_row() for _ in range(10)]
            await connection.execute(sa.insert(drill_table), rows)
            self._commit.append((connection, rows))
        opened = time.monotonic()

        async def passed() -> bool:
            return all(newest > opened for newest in stage.watch.newest.values())

        await until(passed, "rows that were committed after those arrive before them")
        return "later rows passed the open ones"

    async def heal(self, stage: Stage) -> str:
        """Commit the transactions."""
        for connection, rows in self._commit:
            await stage.load.commit(connection, rows)
        self._commit.clear()
        await self._open.aclose()
        return "the open ones followed"


class RefusedRow(Fault):
    """One bad row must not delay the good ones, and must not be forgotten."""

    name = "refused-row"
    sentence = "a CHECK makes the second side refuse a row; the others flow on; the CHECK is dropped, the row follows"

    def __init__(self) -> None:
        self._row = new_row()

    async def inflict(self, stage: Stage) -> str:
        """Insert on the first side a row that the second one refuses; wait for the daemon to set it aside."""
        row = self._row
        first, second = stage.place.sides
        check = sa.CheckConstraint(sa.column("uuid", drill_table.c.uuid.type) != row["uuid"], name=REFUSAL)
        async with durable(second) as connection:
            await connection.execute(sa.schema.AddConstraint(_on_the_table(check)))
            await connection.commit()
        async with durable(first) as connection:
            await connection.execute(sa.insert(drill_table), [row])
            stage.watch.await_arrival(first.label, row["uuid"], await stage.load.commit(connection, [row]))
        await self._until_set_aside(stage, 1)
        return "it was set aside and told of; the others went on"

    async def heal(self, stage: Stage) -> str:
        """Drop the CHECK constraint, and have the row retried as `snk retry` does."""
        second = stage.place.second
        check = sa.CheckConstraint(sa.true(), name=REFUSAL)
        async with durable(second) as connection:
            await connection.execute(sa.schema.DropConstraint(_on_the_table(check), if_exists=True))
            await connection.commit()
            await hasten(connection, [self._row["uuid"]])
            await connection.commit()
        await self._until_set_aside(stage, 0)
        return "it followed"

    async def _until_set_aside(self, stage: Stage, count: int) -> None:
        async def told() -> bool:
            status = await (await stage.leader()).status()
            return status is not None and sum(flow.rejected for flow in status.flows) == count

        await until(told, f"the daemon tells of {count} refused rows")


class NewColumn(Fault):
    """Between the two changes the tables differ, and SNK must not guess what a value would have been."""

    name = "new-column"
    sentence = "a column is added on one side, later on the other, while rows flow"

    async def inflict(self, stage: Stage) -> str:
        """Add the column on the first side, and wait for the daemon to pause."""
        await self._add(stage.place.first)
        await stage.until_disturbed()
        return "the daemon paused, for the tables differed"

    async def heal(self, stage: Stage) -> str:
        """Add the column on the second side, and check that a value of it arrives."""
        first, second = stage.place.sides
        await self._add(second)
        await stage.leader()
        note = sa.column(COLUMN, sa.Text)
        row = new_row()
        wider = sa.table(NAME, sa.column("uuid", drill_table.c.uuid.type), sa.column("data", sa.Text), note)
        async with durable(first) as connection:
            await connection.execute(sa.insert(wider), [{**row, COLUMN: NOTE}])
            await stage.load.commit(connection, [row])

        async def arrived() -> bool:
            async with second.connect() as connection:
                named = sa.select(note).select_from(wider).where(wider.c.uuid == row["uuid"])
                return (await connection.execute(named)).scalar_one_or_none() == NOTE

        await until(arrived, "a value of the new column arrives")
        return "a value of the new column arrived"

    async def _add(self, side: Server) -> None:
        add = sa.DDL(f"ALTER TABLE {NAME} ADD COLUMN IF NOT EXISTS {COLUMN} text")  # type: ignore[no-untyped-call]
        async with durable(side) as connection:
            await connection.execute(add)
            await connection.commit()


def _on_the_table(check: sa.CheckConstraint) -> sa.CheckConstraint:
    """Attach the constraint to the drill's table without adding it to what the drill creates."""
    sa.Table(NAME, sa.MetaData(), sa.Column("uuid", drill_table.c.uuid.type), check)
    return check
