"""A service that hands out work by counters in Redis, as the tests of the re-sync need it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from redis.asyncio import Redis

from snk.db.journal import Entry, entries
from snk.db.server import Server
from snk.resync.check import Checked
from snk.resync.demo import LABEL, METADATA, PROJECT, ROW, TASK
from snk.resync.mapping import Mapping
from snk.resync.model import Limits
from snk.resync.run import Place, Resync, Round, Sides, locked, sides


class World:
    """A database with the four tables, and a Redis."""

    def __init__(self, dsn: str, redis_url: str, redis: Any) -> None:
        self.dsn = dsn
        self.redis_url = redis_url
        self.redis = redis
        self.server = Server("database", dsn)

    def place(self, *, grace: float = 0.0, limits: Limits | None = None, **names: Any) -> Place:
        """Both sides, with the original's names but for those given."""
        return Place(self.dsn, self.redis_url, Mapping(**names), limits or Limits(), grace)

    async def project(self, project: str, method: str, *tasks: int) -> None:
        """Add a project: method 0 is single assignment."""
        async with self.server.begin() as connection:
            await connection.execute(sa.insert(PROJECT).values(project_id=project, use_multi_assign=method))
            for task in tasks:
                await connection.execute(sa.insert(TASK).values(prj_idx=task, project_id=project))

    async def rows(self, project: str, task: int, *given: tuple[int, int], state: str = "WORK_END") -> None:
        """Add rows, each with its label: sources and workers."""
        async with self.server.begin() as connection:
            for source, worker in given:
                index = sa.select(sa.func.count()).where(LABEL.c.prj_idx == task, LABEL.c.src_idx == source)
                made = (
                    sa.insert(ROW)
                    .values(prj_idx=task, project_id=project, prog_state_cd=state, src_idx=source, work_user=worker)
                    .returning(ROW.c.data_idx)
                )
                key = (await connection.execute(made)).scalar_one()
                label = {"data_idx": key, "prj_idx": task, "src_idx": source, "json_index": index.scalar_subquery()}
                await connection.execute(sa.insert(LABEL).values(label))

    async def counters(self, **values: int | str | bytes) -> None:
        """Set counters."""
        for key, value in values.items():
            await self.redis.set(key, value)

    async def held(self, task: int) -> list[tuple[int, int]]:
        """Sources and workers of the rows of a task."""
        asked = sa.select(ROW.c.src_idx, ROW.c.work_user).where(ROW.c.prj_idx == task)
        return [tuple(row) for row in await self.ask(asked.order_by(ROW.c.src_idx, ROW.c.work_user))]

    async def labels(self, task: int) -> list[tuple[int, int]]:
        """Sources and indexes of the labels of a task; each belongs to a row of that source."""
        same = sa.cast(ROW.c.src_idx, sa.Text) == sa.cast(LABEL.c.src_idx, sa.Text)
        asked = (
            sa.select(LABEL.c.src_idx, LABEL.c.json_index)
            .join(ROW, sa.and_(ROW.c.data_idx == LABEL.c.data_idx, same))
            .where(LABEL.c.prj_idx == task, ROW.c.prj_idx == task)
        )
        return [tuple(row) for row in await self.ask(asked.order_by(LABEL.c.src_idx, LABEL.c.json_index))]

    async def ask(self, statement: sa.Select[Any] | sa.TextClause) -> list[Any]:
        """The rows that a statement returns."""
        async with self.server.connect() as connection:
            return list(await connection.execute(statement))

    async def do(self, statement: Any) -> None:
        """Execute a statement."""
        async with self.server.begin() as connection:
            await connection.execute(statement if not isinstance(statement, str) else sa.text(statement))

    async def journal(self, project: str) -> list[Entry]:
        """The plans that were applied to a project."""
        async with self.server.connect() as connection:
            return await entries(connection, "resync", project)

    async def check(self, project: str = "P", **how: Any) -> Checked:
        """Check a project."""
        async with sides(self.place(**how)) as both:
            return await both.checker.check(project)

    async def repair(self, project: str = "P", *, live: bool = False, **how: Any) -> tuple[list[Round], Checked]:
        """Check a project, agree to everything, and check again."""
        async with sides(self.place(**how)) as both, locked(both.server, project):
            return await repaired(both, project, live=live)


async def repaired(both: Sides, project: str, *, live: bool = False) -> tuple[list[Round], Checked]:
    """The parts that were applied, and the second check."""
    checked = await both.checker.check(project)
    rounds = [each async for each in Resync(both, live).run(checked, lambda *_: True)]
    return rounds, await both.checker.check(project)


@asynccontextmanager
async def world(dsn: str, redis_url: str) -> AsyncIterator[World]:
    """The four tables in an empty database, and a client of Redis."""
    async with Redis.from_url(redis_url) as redis:
        made = World(dsn, redis_url, redis)
        async with made.server.begin() as connection:
            await connection.run_sync(METADATA.create_all)
        yield made


async def assign(made: World, project: str, task: int, *, single: bool, delay: float, stop: asyncio.Event) -> int:
    """Hand out work as the service does, until told to stop: count in Redis, and some time later write the row."""
    handed_out = 0
    while not stop.is_set():
        if single:
            source = await made.redis.incr(f"sasp_{task}")
            worker = 1 + source % 3
        else:
            source, worker = 1 + handed_out // 3, 1 + handed_out % 3
            await made.redis.incr(f"maic_{task}_{source}")
            await made.redis.set(f"mapc_{task}_{worker}", source)
        await asyncio.sleep(delay)
        await made.rows(project, task, (source, worker))
        handed_out += 1
    return handed_out
