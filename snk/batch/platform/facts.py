"""Looks up what is known of a task at one moment."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Unknown
from snk.batch.platform.nodes import ALIVE
from snk.batch.platform.tables import ATTEMPT, FILE, IS_LIVE, NODE, NOW, RUN, TASK
from snk.batch.platform.why import Facts, LiveRun
from snk.batch.state import State


async def facts_of(connection: AsyncConnection, name: str) -> Facts:
    """What is known of a task or group.

    Raises:
        Unknown: there is no such one.
    """
    alive = sa.select(sa.func.count()).select_from(NODE).where(ALIVE)
    wanted = sa.select(TASK, NOW.label("now"), alive.scalar_subquery().label("nodes")).where(TASK.c.name == name)
    task = (await connection.execute(wanted)).one_or_none()
    if task is None:
        raise Unknown(f"there is no task or group {name!r}")
    last = sa.select(RUN.c.id, RUN.c.state, RUN.c.reason).where(RUN.c.task == name, RUN.c.ended_at.is_not(None))
    ended = (await connection.execute(last.order_by(RUN.c.id.desc()).limit(1))).one_or_none()
    return Facts(
        name,
        task.now,
        task.paused_by,
        task.paused_note,
        task.message,
        task.next_tick,
        task.nodes,
        await _live_run(connection, name),
        (ended.id, ended.state, ended.reason) if ended else None,
    )


async def _live_run(connection: AsyncConnection, name: str) -> LiveRun | None:
    wanted = (
        sa.select(RUN)
        .where(RUN.c.task == name, IS_LIVE)
        .order_by(RUN.c.active.desc(), RUN.c.backfill, RUN.c.id)
        .limit(1)
    )
    row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        return None
    other = sa.select(RUN.c.id).where(RUN.c.task == name, RUN.c.active, RUN.c.id != row.id)
    before = sa.select(RUN.c.id, RUN.c.state).where(
        RUN.c.parent == row.parent, RUN.c.position < row.position, RUN.c.state != State.COMPLETED
    )
    parent = sa.select(RUN.c.mode).where(RUN.c.id == row.parent)
    first = None
    if row.parent is not None and (await connection.execute(parent)).scalar_one() == "SYNC":
        first = (await connection.execute(before.order_by(RUN.c.position).limit(1))).one_or_none()
    calls = sa.select(ATTEMPT.c.consumer, ATTEMPT.c.outcome).where(ATTEMPT.c.run == row.id)
    call = (await connection.execute(calls.order_by(ATTEMPT.c.fence.desc()).limit(1))).one_or_none()
    files = sa.select(FILE.c.name, FILE.c.reason).where(
        FILE.c.run == row.id, FILE.c.state == State.WAITING, FILE.c.reason != ""
    )
    return LiveRun(
        row.id,
        row.state,
        row.active,
        (await connection.execute(other)).scalar_one_or_none(),
        row.parent,
        (first.id, first.state) if first else None,
        row.node,
        row.due_at,
        row.tries,
        call.consumer if call else None,
        call.outcome if call else None,
        [(each.name, each.reason) for each in await connection.execute(files.order_by(FILE.c.name))],
    )
