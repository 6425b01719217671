"""Forgets runs that ended long ago, in small portions."""

import asyncio

import sqlalchemy as sa
import structlog

from snk.batch.consumer.tables import NOW, RUN
from snk.db.functions import interval
from snk.db.pool import Pool
from snk.errors import SnkError
from snk.pause import pause

EVERY_SECONDS = 600.0
PORTION_ROWS = 500
DAY_SECONDS = 86_400

log = structlog.get_logger()


async def forget(pool: Pool, keep_days: float) -> int:
    """Delete runs that ended so long ago, with their files and what was rejected; return how many.

    Raises:
        SnkError: the database failed.
    """
    old = sa.select(RUN.c.id).where(RUN.c.ended_at < NOW - interval(keep_days * DAY_SECONDS)).limit(PORTION_ROWS)
    async with pool.connection("statement") as connection:
        return (await connection.execute(sa.delete(RUN).where(RUN.c.id.in_(old)))).rowcount


async def keep_up(pool: Pool, keep_days: float, stop: asyncio.Event) -> None:
    """Do so again and again, until ``stop`` is set."""
    while not stop.is_set():
        forgotten = 0
        try:
            forgotten = await forget(pool, keep_days)
        except SnkError as error:
            log.debug("upkeep_postponed", reason=str(error))
        await pause(stop, 0.0 if forgotten == PORTION_ROWS else EVERY_SECONDS)
