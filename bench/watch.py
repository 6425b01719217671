"""Detects when all rows have arrived, and how many had arrived at one moment."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.ground import TABLE, Ground

LOOK_SECONDS = 0.01
REST = 20  # pause as a multiple of a look, which takes the servers tens of milliseconds for hundreds of tables
STALLED_SECONDS = 10.0


class Watch:
    """Counts the rows that arrive on both sides, over its own connections, from the moment it begins.

    Counting rows is expensive, and so is connecting. So it polls the greatest ids until these are high enough for all
    rows.

    Attributes:
        ended: when the look began that found all rows, or when the wait for them ended; monotonic time.
    """

    def __init__(self, lines: tuple[AsyncConnection, AsyncConnection], tables: Sequence[str]) -> None:
        self._lines = lines
        self._tables = tables
        self._ids: list[list[int]] = []
        self.ended = 0.0

    async def begin(self) -> None:
        """Start counting from now on."""
        self._ids = await self._last_ids()

    async def come(self) -> list[int]:
        """Count the rows that have arrived on each side."""
        return list(
            await asyncio.gather(*(self._counted(line, ids) for line, ids in zip(self._lines, self._ids, strict=True)))
        )

    async def drained(self, rows: int, stalled_seconds: float = STALLED_SECONDS) -> int:
        """Wait until this many rows have arrived on both sides.

        Args:
            rows: the number of rows.
            stalled_seconds: after this time without a new row on either side, the rest is counted as lost.

        Returns:
            How many rows never arrived.
        """
        moved = time.monotonic()
        before: object = None
        while True:
            looked = time.monotonic()
            ids = await self._last_ids()
            took = time.monotonic() - looked
            drawn = [sum(now) - sum(then) for now, then in zip(ids, self._ids, strict=True)]
            seen = await self.come() if min(drawn) >= rows else drawn
            if min(drawn) >= rows and min(seen) >= rows:
                self.ended = looked
                return 0
            now = self.ended = time.monotonic()
            if seen != before:
                before, moved = seen, now
            if now - moved > stalled_seconds:
                return rows - min(await self.come())
            await asyncio.sleep(max(LOOK_SECONDS, REST * took))

    async def _last_ids(self) -> list[list[int]]:
        columns = ", ".join(f"(select coalesce(max(id), 0) from {table})" for table in self._tables)
        rows = await asyncio.gather(*(line.execute(sa.text(f"select {columns}")) for line in self._lines))
        return [list(row.one()) for row in rows]

    async def _counted(self, line: AsyncConnection, ids: Sequence[int]) -> int:
        counts = [
            f"(select count(*) from {table} where id > {high})" for table, high in zip(self._tables, ids, strict=True)
        ]
        return int((await line.execute(sa.text(f"select {' + '.join(counts)}"))).scalar_one())


class Moment(Watch):
    """What both sides hold at one moment, to be counted later."""

    async def seize(self, watch: Watch) -> None:
        """Record the current moment; rows that arrive later are not counted."""
        self._ids = watch._ids  # noqa: SLF001 - another instance of the same class
        await self._last_ids()


@asynccontextmanager
async def watching(ground: Ground, tables: Sequence[str] = (TABLE,)) -> AsyncIterator[tuple[Watch, Moment]]:
    """A watch that has begun, and a moment to be recorded once."""
    first, second = ground.sides
    async with first.connect() as one, second.connect() as other, first.begin() as then, second.begin() as there:
        watch = Watch((one, other), tables)
        await watch.begin()
        for line in (then, there):
            await line.execute(sa.text("set transaction isolation level repeatable read"))
            await line.execute(sa.text("set local idle_in_transaction_session_timeout = 0"))
        yield watch, Moment((then, there), tables)
