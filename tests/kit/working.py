"""A consumer without its service, in the process of the test: calls, work on files, and executors that do as told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from snk.batch.consumer.executor import Reconciled
from snk.batch.consumer.provider import Providers
from snk.batch.consumer.taking import cancel, take
from snk.batch.consumer.work import Work
from snk.batch.consumer.workers import Bounds, Workers
from snk.batch.wire import Call, Told
from snk.db.pool import Pool
from snk.errors import Unavailable
from tests.kit.consumer import call
from tests.kit.databases import Database, until

LEASE_SECONDS = 3600.0
BOUNDS = Bounds(files_at_once=5, connections=5, page_rows=100, lease_seconds=LEASE_SECONDS)


async def nothing(_: Work) -> None:
    """Load nothing."""


class Merge:
    """Writes a row into the table ``target``, and waits before it commits.

    Attributes:
        reached: it has written.
        opened: it may commit.
    """

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self, work: Work) -> None:
        async with work.step() as step:
            await step.connection.exec_driver_sql("insert into target default values")
            self.reached.set()
            await self.opened.wait()


@dataclass
class Scripted:
    """An executor for one name, shared by all files that have it.

    Attributes:
        does: what loading is.
        finds: the outcome of each comparison, one after the other; at the end, all is equal.
        executed: how often files were loaded.
    """

    does: Callable[[Work], Awaitable[None]] = nothing
    finds: list[Reconciled] = field(default_factory=list)
    executed: int = 0

    async def precondition(self, _: Work) -> None:
        """There is none."""

    async def execute(self, work: Work) -> None:
        self.executed += 1
        await self.does(work)

    async def reconcile(self, _: Work) -> Reconciled:
        return self.finds.pop(0) if self.finds else Reconciled(equal=True)


class LostAnswer(Pool):
    """Connections of which one breaks before it is heard that the end of a file is committed.

    Attributes:
        dsn: of the database.
        lost: whether that has happened.
    """

    dsn = ""
    lost = False

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        async with super().begin() as connection:
            yield connection
        if not self.lost and await ended_files(Database(self.dsn)):
            self.lost = True
            raise Unavailable("the connection broke before the answer came")


class SlowCommit(Pool):
    """Connections of which one waits before a commit, when all that is looked at before it has been looked at.

    Attributes:
        armed: whether the next commit waits.
        reached: set when it does.
        opened: when this is set, it goes on.
    """

    armed = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        async with super().begin() as connection:
            yield connection
            if self.armed:
                self.armed = False
                self.reached.set()
                await self.opened.wait()


async def ended_files(database: Database) -> bool:
    """Whether a file has ended."""
    asked = "select 1 from snk_batch_consumer.file where state not in ('WAITING', 'RUNNING')"
    return bool(await database.rows(asked))


class Room:
    """Where runs are worked on.

    Attributes:
        pool: connections for calls.
        executors: by the names that files give.
        workers: those who do the work.
    """

    def __init__(self, database: Database, bounds: Bounds = BOUNDS, kind: type[Pool] = Pool) -> None:
        self.database = database
        self.executors: dict[str, Scripted] = {}
        self.pool = Pool(database.dsn, 3, 30.0, "tests")
        self.loading = kind(database.dsn, 5, 30.0, "tests")
        if isinstance(self.loading, LostAnswer):
            self.loading.dsn = database.dsn
        self.workers = Workers(self.pool, self.loading, Providers({}), bounds)

    def file(self, executor: str, does: Callable[[Work], Awaitable[None]] = nothing) -> dict[str, Any]:
        """A file of an executor that does so."""
        self.executors.setdefault(executor, Scripted(does))
        return {"executor": executor}

    async def call(self, files: dict[str, Any], **more: Any) -> Told:
        """Call as the platform does."""
        async with self.pool.begin() as connection:
            taken = await take(connection, Call.model_validate(call(files, **more)), "tests", LEASE_SECONDS)
        if taken.hold:
            self.workers.begin(taken.hold)
        return taken.told

    async def stop(self, run: int = 1, fence: int = 1, task: str = "prices") -> str:
        """Say that the platform has ended a run; the state of the run."""
        async with self.pool.begin() as connection:
            return await cancel(connection, task, UUID(int=run), fence)

    async def until_idle(self) -> None:
        """Wait until nothing is worked on any more."""
        while tasks := list(self.workers._tasks.values()):
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)

    async def until_state(self, state: str, run: int = 1) -> None:
        """Wait for a state of a run."""
        asked = f"select state from snk_batch_consumer.run where number = {run}"

        async def reached() -> bool:
            return bool(await self.database.value(asked) == state)

        await until(reached, f"run {run} to be {state}")

    async def files(self) -> dict[str, str]:
        """The states of all files, by their names."""
        found: Any = await self.database.rows("select name, state from snk_batch_consumer.file order by id")
        return dict(found)

    async def close(self) -> None:
        """Stop the work, and close all connections."""
        await self.workers.close()
        await self.loading.close()
        await self.pool.close()
