"""Forgets what nobody asks for any more, in small portions: runs, and records that were loaded and are not needed."""

import asyncio

import sqlalchemy as sa
import structlog

from snk.batch.consumer.tables import FILE, NOW, RUN, STAGED
from snk.batch.state import LIVE
from snk.db.functions import interval
from snk.db.pool import Pool
from snk.errors import SnkError
from snk.log import Reminder
from snk.pause import pause

EVERY_SECONDS = 600.0
AGAIN_SECONDS = 10.0
"""After a portion that was too large."""
PORTION_RUNS = 500
RECORDS_OF_A_RUN = 20
"""So many more records than runs are a portion: a run brings its files and its rejected records with it."""
DAY_SECONDS = 86_400

log = structlog.get_logger()


async def forget(pool: Pool, keep_days: float, most: int = PORTION_RUNS) -> int:
    """Delete runs that ended, or were last called, more than ``keep_days`` ago, with their files and rejected records.

    Args:
        pool: connections to the database.
        keep_days: how long runs are kept.
        most: how many at once.

    Returns:
        How many were deleted.

    Raises:
        SnkError: the database failed.
    """
    limit = NOW - interval(keep_days * DAY_SECONDS)
    left = sa.and_(RUN.c.ended_at.is_(None), RUN.c.called_at < limit)
    old = sa.select(RUN.c.id).where(sa.or_(RUN.c.ended_at < limit, left)).limit(most).with_for_update(skip_locked=True)
    async with pool.connection("statement") as connection:
        return (await connection.execute(sa.delete(RUN).where(RUN.c.id.in_(old)))).rowcount


async def sweep(pool: Pool, most: int = PORTION_RUNS * RECORDS_OF_A_RUN) -> int:
    """Delete records that were loaded for a file that has ended; return how many: so many at most, 0 if none are left.

    Raises:
        SnkError: the database failed.
    """
    files = _files()
    live = sa.exists().where(FILE.c.id == files.c.file, FILE.c.state.in_(sorted(LIVE)))
    live = live.where(RUN.c.id == FILE.c.run, RUN.c.state.in_(sorted(LIVE)))
    left = sa.select(files.c.file).where(files.c.file.is_not(None), ~live).order_by(files.c.file).limit(1)
    async with pool.connection("statement") as connection:
        file = (await connection.execute(left)).scalar_one_or_none()
        first = sa.select(sa.func.min(STAGED.c.number)).where(STAGED.c.file == file).scalar_subquery()
        portion = sa.delete(STAGED).where(STAGED.c.file == file, STAGED.c.number < first + most)
        return (await connection.execute(portion)).rowcount if file else 0


def _files() -> sa.CTE:
    """The files that have records, found by one look at the index for each of them, however many records there are."""
    first = sa.select(sa.func.min(STAGED.c.file).label("file")).cte("files", recursive=True)
    following = sa.select(sa.func.min(STAGED.c.file)).where(STAGED.c.file > first.c.file).scalar_subquery()
    return first.union_all(sa.select(following).where(first.c.file.is_not(None)))


async def keep_up(pool: Pool, keep_days: float, stop: asyncio.Event) -> None:
    """Do both again and again, until ``stop`` is set; what takes too long is done in portions of half the size."""
    most, reminder = PORTION_RUNS, Reminder()
    while not stop.is_set():
        try:
            runs, records = await forget(pool, keep_days, most), await sweep(pool, most * RECORDS_OF_A_RUN)
        except SnkError as error:
            most = max(1, most // 2)
            if reminder.due(str(error)):
                log.warning("upkeep_postponed", reason=str(error), effect="less is forgotten at once")
            await pause(stop, AGAIN_SECONDS)
            continue
        reminder.over()
        if runs < most and not records:
            most = PORTION_RUNS
            await pause(stop, EVERY_SECONDS)
