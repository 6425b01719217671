"""Turns the ticks of calendars into triggers.

Where each calendar stands is a column of its task, so no tick is missed or comes twice, however many nodes look and
however long none did: the key of a trigger is the tick itself.
"""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import Triggered
from snk.batch.platform.tables import NOW, TASK
from snk.batch.platform.triggering import MODELS, Trigger, trigger
from snk.db.pool import Pool

PORTION = 200
MOST_MISSED = 100_000
JUST_BEFORE = timedelta(microseconds=1)


async def tick(pool: Pool, node: str) -> int:
    """Start what is due by its calendar; return how much that was."""
    due = sa.select(TASK.c.name).where(TASK.c.next_tick <= NOW).order_by(TASK.c.next_tick).limit(PORTION)
    async with pool.connection("statement") as connection:
        names = list((await connection.execute(due)).scalars())
    started = 0
    for name in names:
        async with pool.begin() as connection:
            started += await _tick(connection, name, node)
    return started


async def _tick(connection: AsyncConnection, name: str, node: str) -> int:
    """Start one task by its calendar, if it is still due and no other node sees to it."""
    wanted = sa.select(TASK, NOW.label("now")).where(TASK.c.name == name, TASK.c.next_tick <= NOW)
    row = (await connection.execute(wanted.with_for_update(skip_locked=True))).one_or_none()
    if row is None:
        return 0
    target: Triggered = MODELS[row.kind].model_validate(row.definition)
    calendar = target.calendar
    ticks = calendar.between(row.next_tick - JUST_BEFORE, row.now, MOST_MISSED)[-target.catch_up :] if calendar else []
    for at in ticks:
        key = f"calendar {at.isoformat()}"
        await trigger(connection, Trigger(name, key, "calendar", node, {"tick": at.isoformat()}))
    following = next(calendar.after(row.now), None) if calendar else None
    await connection.execute(sa.update(TASK).where(TASK.c.name == name).values(next_tick=following))
    return len(ticks)
