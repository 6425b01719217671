"""Looks up what is known of a task at one moment."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Unknown
from snk.batch.platform.nodes import ALIVE
from snk.batch.platform.tables import ATTEMPT, FILE, IS_LIVE, NODE, NOW, RUN, TASK
from snk.batch.platform.why import Ended, Facts, LiveRun, Pause
from snk.batch.state import LIVE, State


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
    columns = (RUN.c.id, RUN.c.state, RUN.c.reason, RUN.c.ended_at)
    last = sa.select(*columns).where(RUN.c.task == name, RUN.c.ended_at.is_not(None))
    ended = (await connection.execute(last.order_by(RUN.c.id.desc()).limit(1))).one_or_none()
    run = await _live_run(connection, name, task.now)
    return Facts(
        name,
        task.now,
        await _pauses(connection, name, run.parent if run else None),
        task.message,
        task.next_tick,
        task.nodes,
        run,
        Ended(*ended) if ended else None,
    )


async def _pauses(connection: AsyncConnection, name: str, parent: int | None) -> list[Pause]:
    """The pause of a task, and that of the group to which its run belongs."""
    group = sa.select(RUN.c.task).where(RUN.c.id == parent).scalar_subquery()
    paused = sa.select(TASK.c.name, TASK.c.paused_by, TASK.c.paused_note).where(TASK.c.paused_by.is_not(None))
    rows = await connection.execute(paused.where(sa.or_(TASK.c.name == name, TASK.c.name == group)))
    return sorted((Pause(*row) for row in rows), key=lambda pause: (pause.name != name, pause.name))


async def _tasks(connection: AsyncConnection, run: int) -> list[tuple[int, str, str]]:
    """The runs in that of a group that have not ended."""
    wanted = sa.select(RUN.c.id, RUN.c.task, RUN.c.state).where(RUN.c.parent == run, IS_LIVE)
    return [(row.id, row.task, row.state) for row in await connection.execute(wanted.order_by(RUN.c.position))]


async def _before(connection: AsyncConnection, row: sa.Row[tuple[object, ...]]) -> tuple[int, str] | None:
    """The run of its group that comes before a run and is not complete."""
    parent = sa.select(RUN.c.mode).where(RUN.c.id == row.parent)
    if row.parent is None or (await connection.execute(parent)).scalar_one() != "SYNC":
        return None
    before = sa.select(RUN.c.id, RUN.c.state).where(
        RUN.c.parent == row.parent, RUN.c.position < row.position, RUN.c.state != State.COMPLETED
    )
    first = (await connection.execute(before.order_by(RUN.c.position).limit(1))).one_or_none()
    return (first.id, first.state) if first else None


async def _waiting(connection: AsyncConnection, run: int) -> Sequence[tuple[str, str, str]]:
    """The files that have not ended, and of which its consumer says why, with these reasons."""
    files = sa.select(FILE.c.name, FILE.c.state, FILE.c.reason).where(
        FILE.c.run == run, FILE.c.state.in_(sorted(LIVE)), FILE.c.reason != ""
    )
    return [(each.name, each.state, each.reason) for each in await connection.execute(files.order_by(FILE.c.name))]


async def _live_run(connection: AsyncConnection, name: str, now: datetime) -> LiveRun | None:
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
    calls = sa.select(ATTEMPT.c.consumer, ATTEMPT.c.outcome).where(ATTEMPT.c.run == row.id)
    call = (await connection.execute(calls.order_by(ATTEMPT.c.fence.desc()).limit(1))).one_or_none()
    held = row.lease_until is not None and row.lease_until > now  # otherwise the node that took it is dead
    return LiveRun(
        row.id,
        row.state,
        row.active,
        (await connection.execute(other)).scalar_one_or_none(),
        row.parent,
        await _before(connection, row),
        row.node if held else None,
        row.due_at,
        row.tries,
        call.consumer if call else None,
        call.outcome if call else None,
        await _waiting(connection, row.id),
        await _tasks(connection, row.id) if row.mode is not None else None,
    )
