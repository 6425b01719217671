"""Which consumers must be told that the platform has ended their runs: noted by the transaction that ends one.

A consumer that has told the end itself knows. One whose run was cancelled, skipped or given up may still work on it, or
begin it with a call that is under way. Who takes an entry puts off when it is due; if that node dies, it is due again
by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import Task
from snk.batch.platform.tables import IS_UNTOLD, NOW, PRESENT, RUN, STOP, TASK
from snk.batch.state import State
from snk.db.functions import interval

LEASE_SECONDS = 30.0
"""Longer than a consumer has for its answer."""
GIVE_UP_SECONDS = 86_400.0
_TIMEOUT_SECONDS: float = Task.model_fields["timeout_seconds"].default


@dataclass(frozen=True, slots=True)
class Owed:
    """A run whose consumer this node tells.

    Attributes:
        uid: the run, for its consumer.
        fence: of the last call.
        consumer: the instance that works on it; None if that was not noted.
        tries: which try this is, from 1.
        definition: of its task; None if there is no such task any more.
    """

    run: int
    uid: UUID
    task: str
    fence: int
    consumer: str | None
    tries: int
    definition: Mapping[str, Any] | None


async def owe(connection: AsyncConnection, runs: Sequence[int]) -> None:
    """Note that the consumers of runs must be told, if they were called since the runs were triggered or run again.

    While the first call is under way, the consumer may not know the run yet, and would begin it after it was told. So
    it is told when that call is over: see `hasten`.

    Args:
        connection: with a transaction that holds them.
        runs: which end, or have ended.
    """
    if runs:
        await connection.execute(_OWING, {"runs": list(runs)})


async def hasten(connection: AsyncConnection, called: Mapping[int, str]) -> None:
    """Have consumers told now, also again: their runs had ended when a call was over.

    Args:
        connection: with a transaction that holds the runs.
        called: the instance of each run that was called; runs that the platform did not end are passed over.
    """
    if called:
        rows = [{"of_run": run, "instance": called[run]} for run in sorted(called)]
        await connection.execute(_HASTENING, rows)


async def take(connection: AsyncConnection, most: int) -> list[Owed]:
    """Take what is due to be told, the longest due first.

    Args:
        connection: with autocommit.
        most: how many.
    """
    due = sa.select(STOP.c.run).where(IS_UNTOLD, STOP.c.due_at <= PRESENT)
    chosen = due.order_by(STOP.c.due_at).limit(most).with_for_update(skip_locked=True).cte("chosen")
    definition = sa.select(TASK.c.definition).where(TASK.c.name == RUN.c.task).correlate(RUN).scalar_subquery()
    columns = (STOP.c.run, RUN.c.uid, RUN.c.task, STOP.c.fence, STOP.c.consumer, STOP.c.tries)
    taken = (
        sa.update(STOP)
        .where(STOP.c.run == chosen.c.run, RUN.c.id == STOP.c.run)
        .values(due_at=NOW + interval(LEASE_SECONDS), tries=STOP.c.tries + 1)
        .returning(*columns, definition.label("definition"))
    )
    return [Owed(**row) for row in (await connection.execute(taken)).mappings()]


async def told(connection: AsyncConnection, owed: Owed) -> None:
    """Note that a consumer has stopped its run."""
    await connection.execute(_mine(owed).values(told_at=NOW, reason=""))


async def refused(connection: AsyncConnection, owed: Owed, reason: str) -> None:
    """Note that a consumer cannot be told, and why."""
    await connection.execute(_mine(owed).values(gave_up_at=NOW, reason=reason))


async def failed(connection: AsyncConnection, owed: Owed, reason: str, again_seconds: float) -> None:
    """Note that a consumer does not know yet, why, and when it is told; after a day it is not."""
    expired = STOP.c.created_at <= NOW - interval(GIVE_UP_SECONDS)
    values = {"reason": reason, "due_at": NOW + interval(again_seconds), "gave_up_at": sa.case((expired, NOW))}
    await connection.execute(_mine(owed).values(values))


def _mine(owed: Owed) -> sa.Update:
    """Of an entry that no other node has taken since, and no end of a later turn has replaced."""
    same = (STOP.c.run == owed.run, STOP.c.fence == owed.fence, STOP.c.tries == owed.tries)
    return sa.update(STOP).where(*same, IS_UNTOLD)


def _owing() -> sa.Insert:
    seconds = sa.cast(TASK.c.definition["timeout_seconds"].astext, sa.Float)
    asked = sa.select(seconds).where(TASK.c.name == RUN.c.task).correlate(RUN).scalar_subquery()
    timeout = sa.func.coalesce(asked, _TIMEOUT_SECONDS)
    first_call = sa.and_(RUN.c.node.is_not(None), RUN.c.state == State.WAITING)
    due = sa.case((first_call, NOW + interval(timeout)), else_=NOW)
    called = RUN.c.fence >= sa.func.greatest(RUN.c.since, 1)
    ending = RUN.c.id.in_(sa.bindparam("runs", expanding=True))
    names = ["run", "consumer", "fence", "due_at"]
    insert = pg.insert(STOP).from_select(
        names, sa.select(RUN.c.id, RUN.c.consumer, RUN.c.fence, due).where(ending, called)
    )
    fresh: dict[str, Any] = {name: insert.excluded[name] for name in names[1:]}
    fresh |= {"created_at": NOW, "tries": 0, "reason": "", "told_at": None, "gave_up_at": None}
    return insert.on_conflict_do_update(index_elements=[STOP.c.run], set_=fresh)


_OWING = _owing()
_HASTENING = (
    sa.update(STOP)
    .where(STOP.c.run == sa.bindparam("of_run"))
    .values(consumer=sa.bindparam("instance"), due_at=NOW, told_at=None, gave_up_at=None)
)
