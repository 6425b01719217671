"""How far everything is, as the tables of the platform and of the consumers tell."""

from dataclasses import dataclass

import sqlalchemy as sa

from snk.batch.consumer import tables as consumer
from snk.batch.platform.tables import RUN
from snk.batch.state import LIVE
from snk.db.pool import Pool

CONNECTIONS = 2
WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the platform."""

    number: int
    task: str
    state: str
    reason: str
    node: str | None
    calls: int

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in LIVE


@dataclass(frozen=True, slots=True)
class File:
    """One file of a run, as the consumers know it."""

    name: str
    state: str
    received: int
    holder: str | None


class Watch:
    """Looks at both databases."""

    def __init__(self, platform: str, consumer: str) -> None:
        self._platform = Pool(platform, CONNECTIONS, WAIT_SECONDS, "snk demo")
        self._consumer = Pool(consumer, CONNECTIONS, WAIT_SECONDS, "snk demo")

    async def runs(self) -> dict[str, Run]:
        """The newest run of each task and group, by its name."""
        columns = (RUN.c.id, RUN.c.task, RUN.c.state, RUN.c.reason, RUN.c.node, RUN.c.calls)
        async with self._platform.connection("statement") as connection:
            return {row.task: Run(*row) for row in await connection.execute(sa.select(*columns).order_by(RUN.c.id))}

    async def files(self) -> dict[str, File]:
        """The files that the consumers know, by their names."""
        run, file = consumer.RUN, consumer.FILE
        columns = (file.c.name, file.c.state, file.c.received, run.c.holder)
        wanted = sa.select(*columns).join(run, run.c.id == file.c.run).order_by(file.c.id)
        async with self._consumer.connection("statement") as connection:
            rows = await connection.execute(wanted)
            return {row.name: File(row.name, row.state, row.received or 0, row.holder) for row in rows}

    async def close(self) -> None:
        """Close all connections."""
        await self._platform.close()
        await self._consumer.close()
