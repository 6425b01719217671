"""The work of one consumer: its runs, each with several files at once.

A run is worked on until its files have ended or cannot begin yet. A consumer that is stopped lets go of its runs, so
that whichever is called next goes on with them at once; one that dies keeps them until ``working_until``.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa
import structlog

from snk.batch.consumer.filework import FileWork
from snk.batch.consumer.holding import Hold, Overtaken, lock, release, renew
from snk.batch.consumer.provider import Providers
from snk.batch.consumer.reporting import settle
from snk.batch.consumer.tables import FILE, RUN
from snk.batch.consumer.work import Work
from snk.batch.state import LIVE
from snk.db.pool import Pool
from snk.errors import SnkError
from snk.log import Reminder
from snk.pause import pause

RENEWALS = 3
"""So often in the time of a lease it is renewed."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is done at once.

    Attributes:
        files_at_once: of one run.
        connections: files of all runs.
        page_rows: how many records are asked for at once.
        lease_seconds: how long a run is held unless that is prolonged.
    """

    files_at_once: int
    connections: int
    page_rows: int
    lease_seconds: float


@dataclass(slots=True, eq=False)
class Running:
    """A run that is worked on.

    Attributes:
        free: how many more of its files may be loaded.
        called: set when the platform calls again, and when nothing is under way any more.
        under_way: how many files are worked on, or are to be.
    """

    free: asyncio.Semaphore
    called: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0


class Workers:
    """All that a consumer works on.

    Args:
        pool: connections to its database for short statements, which work on files never takes away.
        loading: connections to it for work on files.
        providers: connections to providers.
        bounds: how much is done at once.

    Attributes:
        ended: how many files ended, by state.
    """

    def __init__(self, pool: Pool, loading: Pool, providers: Providers, bounds: Bounds) -> None:
        self.ended: Counter[str] = Counter()
        self._pool = pool
        self._loading = loading
        self._providers = providers
        self._bounds = bounds
        self._free = asyncio.Semaphore(bounds.connections)
        self._tasks: dict[Hold, asyncio.Task[None]] = {}
        self._running: dict[int, Running] = {}

    @property
    def runs(self) -> list[int]:
        """The numbers of the runs that are worked on; runs of two platforms may have the same."""
        return sorted(number for _, number in {(each.run, each.number) for each in self._tasks})

    def begin(self, hold: Hold) -> None:
        """Work on a run that is held; work on it under an older hold ends, and under a newer one goes on instead."""
        others = {each: task for each, task in self._tasks.items() if each.run == hold.run}
        if any(each.attempt >= hold.attempt for each in others):
            return
        for task in others.values():
            task.cancel()
        task = asyncio.create_task(self._run(hold))
        self._tasks[hold] = task
        task.add_done_callback(lambda _: self._tasks.pop(hold, None))

    def called(self, run: int) -> None:
        """The platform calls again: files of the run that could not begin are tried once more."""
        if run in self._running:
            self._running[run].called.set()

    async def renew(self, stop: asyncio.Event) -> None:
        """Hold what is worked on for longer, until ``stop`` is set."""
        reminder = Reminder()
        while not stop.is_set():
            await pause(stop, self._bounds.lease_seconds / RENEWALS)
            if not (holds := list(self._tasks)):
                continue
            try:
                async with self._pool.connection("statement") as connection:
                    still = await renew(connection, holds, self._bounds.lease_seconds)
            except SnkError as error:
                if reminder.due(str(error)):
                    log.warning("leases_not_renewed", reason=str(error), effect="it is tried again")
                continue
            reminder.over()
            for hold in holds:
                if hold.run not in still and hold in self._tasks:
                    log.warning(
                        "lease_lost", run=hold.number, effect="others work on it, or the platform has given it up"
                    )
                    self._tasks[hold].cancel()

    async def close(self) -> None:
        """Stop at once, and let go of all runs."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, hold: Hold) -> None:
        running = self._running[hold.run] = Running(asyncio.Semaphore(self._bounds.files_at_once))
        try:
            files = await self._files(hold)
            if not files:
                await self._settle(hold)
            async with asyncio.TaskGroup() as group:
                for row in files:
                    running.under_way += 1
                    group.create_task(self._file(hold, row, running))
        except SnkError as error:
            log.warning("run_not_begun", run=hold.number, reason=str(error), effect="it is begun at the next call")
        except Exception:
            log.exception("run_broke_off", run=hold.number, effect="it goes on at the next call")
        finally:
            if self._running.get(hold.run) is running:
                del self._running[hold.run]
            await asyncio.shield(asyncio.ensure_future(self._release(hold)))

    async def _settle(self, hold: Hold) -> None:
        """End a run all of whose files have ended, should that not have been noted with the last of them."""
        async with self._pool.begin() as connection:
            await lock(connection, hold)
            asked = sa.select(RUN.c.id).where(RUN.c.id == hold.run, RUN.c.state.in_(sorted(LIVE)))
            if (await connection.execute(asked)).scalar_one_or_none():
                await settle(connection, hold.run)

    async def _files(self, hold: Hold) -> Sequence[sa.RowMapping]:
        """The files that have not ended."""
        mine = sa.and_(FILE.c.run == hold.run, FILE.c.attempt == hold.attempt, FILE.c.state.in_(sorted(LIVE)))
        columns = (FILE.c.id, FILE.c.name, FILE.c.definition, RUN.c.task, RUN.c.payload)
        asked = sa.select(*columns).join_from(FILE, RUN).where(mine).order_by(FILE.c.name)
        async with self._pool.connection("statement") as connection:
            return (await connection.execute(asked)).mappings().all()

    async def _file(self, hold: Hold, row: sa.RowMapping, running: Running) -> None:
        """Work on a file; one that cannot begin is tried at every call, as long as others are under way."""
        while True:
            ended = await self._try(hold, row, running)
            running.under_way -= 1
            if not running.under_way:
                running.called.set()
            if ended or not running.under_way:
                return
            running.called.clear()
            await running.called.wait()
            running.under_way += 1

    async def _try(self, hold: Hold, row: sa.RowMapping, running: Running) -> bool:
        """Work on a file; whether it has ended. Whatever becomes of it, the other files go on."""

        @asynccontextmanager
        async def turn() -> AsyncIterator[None]:
            async with running.free, self._free:
                yield

        try:
            work = Work(self._loading, self._providers, hold, self._bounds.page_rows, row)
            return await FileWork(self._loading, hold, work, self.ended, turn).run()
        except Overtaken as error:
            log.info("run_overtaken", run=hold.number, reason=str(error), effect="nothing more is changed")
            return True
        except Exception:
            log.exception("file_broke_off", run=hold.number, file=row["name"], effect="it goes on at the next call")
            return False

    async def _release(self, hold: Hold) -> None:
        try:
            async with self._pool.connection("statement") as connection:
                await release(connection, hold)
        except SnkError as error:
            log.warning("run_not_released", run=hold.number, reason=str(error), effect="it is free when its lease ends")
