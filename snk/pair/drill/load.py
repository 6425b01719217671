"""Writers on both sides. They connect directly, do what makes polling lose rows, and keep books of what they did."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.drill.books import Books
from snk.pair.drill.table import drill_table, durable, new_row
from snk.pair.drill.watch import CanaryWatch

MOST_ROWS = 60
PAUSE_SECONDS = 0.05
LATE_SECONDS = 0.15
CANARY_SECONDS = 0.1
RETRY_SECONDS = 0.1
ROLLED_BACK = 0.1
LATE = 0.1

Work = Callable[[Server, AsyncConnection], Awaitable[float]]
"""One transaction; returns how many seconds to rest after it."""


class Load:
    """Two writers per side: one of batches, some late and some rolled back; one of canaries, one row at a time."""

    def __init__(self, sides: Sequence[Server], books: Books, watch: CanaryWatch) -> None:
        self._sides = sides
        self._books = books
        self._watch = watch
        self._go = asyncio.Event()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start the writers, paused; the tasks run until they are cancelled."""
        writers = ((side, work) for side in self._sides for work in (self._batch, self._canary))
        return [group.create_task(self._write(side, work)) for side, work in writers]

    def resume(self) -> None:
        """Start writing."""
        self._go.set()

    async def rest(self) -> None:
        """Stop writing, and wait until every transaction has ended."""
        self._go.clear()
        await self._idle.wait()

    async def commit(self, connection: AsyncConnection, rows: Sequence[dict[str, str]]) -> float:
        """Commit the rows inserted on this connection; returns the monotonic time of the acknowledgement."""
        uuids = [row["uuid"] for row in rows]
        self._books.sending(uuids)
        await connection.commit()
        self._books.answered(uuids)
        return time.monotonic()

    async def _write(self, side: Server, work: Work) -> None:
        """One writer, which reconnects as often as necessary."""
        while True:
            await self._go.wait()
            try:
                with self._working():
                    async with durable(side) as connection:
                        while self._go.is_set():
                            rest_seconds = await work(side, connection)
                            await asyncio.sleep(rest_seconds)
            except SnkError:  # the server is unavailable, as the drill intends
                await asyncio.sleep(RETRY_SECONDS)

    @contextmanager
    def _working(self) -> Iterator[None]:
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def _batch(self, _: Server, connection: AsyncConnection) -> float:
        rows = [new_row() for _ in range(random.randint(1, MOST_ROWS))]  # noqa: S311 - test data, as below
        await connection.execute(sa.insert(drill_table), rows)
        if random.random() < LATE:  # noqa: S311
            await asyncio.sleep(LATE_SECONDS)  # ids that others draw meanwhile become visible before these
        if random.random() < ROLLED_BACK:  # noqa: S311
            await connection.rollback()
        else:
            await self.commit(connection, rows)
        return PAUSE_SECONDS

    async def _canary(self, side: Server, connection: AsyncConnection) -> float:
        row = new_row()
        await connection.execute(sa.insert(drill_table), [row])
        self._watch.await_arrival(side.label, row["uuid"], await self.commit(connection, [row]))
        return CANARY_SECONDS
