"""The algorithm that SNK's first version was asked to have, written for comparison.

    python -m bench.contenders.original FIRST_URL SECOND_URL REDIS_URL

It polls. It reads 200 rows with ids above the last one, as ORM objects. One EXISTS per row in Redis drops the rows that
it wrote itself. It inserts the rest on the other side, records them in Redis, and saves the last id. It loses rows that
become visible out of the order of their ids.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
import uvloop
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from bench.contenders.contender import Program
from bench.ground import Ground
from snk.embedded.process import spawn
from snk.pair.schema.own import Record

POLL_ROWS = 200


class Original(Program):
    """The poller as a process."""

    name = "original"

    async def start(self, ground: Ground, tables: Sequence[str]) -> None:
        """Start the process; it handles only one table."""
        if list(tables) != [Record.__tablename__]:
            raise ValueError(f"it knows {Record.__tablename__} only")
        pair = ground.pair
        command = [sys.executable, "-m", __name__, pair.first.dsn, pair.second.dsn, pair.redis.dsn]
        self.child = spawn(
            command, Path.cwd(), pair.state / "original.log", None, signal.SIGTERM, environment=ground.values
        )
        await asyncio.sleep(2)


async def poll(first: str, second: str, cache: Redis) -> None:
    """Copy in both directions in turn, forever."""
    engines = [create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1)) for url in (first, second)]
    last = [0, 0]
    while True:
        moved = False
        for at in (0, 1):
            before = last[at]
            last[at] = await _one_batch(engines[at], engines[1 - at], cache, before)
            await cache.set(f"last:{at}", last[at])
            moved = moved or last[at] != before
        if not moved:
            await asyncio.sleep(0.01)


async def _one_batch(source: AsyncEngine, destination: AsyncEngine, cache: Redis, last: int) -> int:
    """Copy one batch; return the last id that was read."""
    async with AsyncSession(source) as reading:
        newest = sa.select(Record).where(Record.id > last).order_by(Record.id).limit(POLL_ROWS)
        rows = (await reading.scalars(newest)).all()
    if not rows:
        return last
    new = []
    for row in rows:
        if await cache.exists(str(row.uuid)):
            await cache.delete(str(row.uuid))
        else:
            new.append(row)
    async with AsyncSession(destination) as writing, writing.begin():
        writing.add_all([Record(uuid=row.uuid, data=row.data) for row in new])
        for row in new:
            await cache.set(str(row.uuid), 1)
    return rows[-1].id


async def _main(first: str, second: str, redis: str) -> None:
    async with Redis.from_url(redis) as cache:
        await poll(first, second, cache)


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
