"""Takes runs that are due, for one node at a time.

A run is taken by one statement, which raises its fence and sets how long it is taken for. Whoever holds it says in
every change which fence that is; a node that was asleep meanwhile finds that the fence has grown, and changes nothing.
The database's clock decides when a run is due and when it is free again: clocks of nodes decide nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.tables import NOW, PRESENT, RUN, TASK
from snk.db.functions import interval


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this node holds.

    Attributes:
        uid: the run, for its consumer, which may work for several platforms.
        fence: what every change of it has to say.
        since: the fence from which on its reports count.
        tries: how many calls in a row failed.
        consumer: the instance that worked on it last; None if there was none.
        files: which files are run; None for all.
        definition: of its task; None if there is no such task any more.
    """

    run: int
    uid: UUID
    task: str
    fence: int
    since: int
    tries: int
    consumer: str | None
    payload: Mapping[str, Any]
    files: Sequence[str] | None
    definition: Mapping[str, Any] | None


async def claim(connection: AsyncConnection, node: str, most: int, lease_seconds: float) -> list[Claim]:
    """Take runs that are due and that nobody holds, and whose task is not paused, the longest due first.

    Args:
        connection: with autocommit.
        node: who takes them.
        most: how many at most.
        lease_seconds: for how long, unless `renew` prolongs it.
    """
    free = sa.or_(RUN.c.lease_until.is_(None), RUN.c.lease_until <= PRESENT)
    due = sa.select(RUN.c.id).where(RUN.c.active, RUN.c.due_at <= PRESENT, free, sa.not_(paused()))
    chosen = due.order_by(RUN.c.due_at).limit(most).with_for_update(skip_locked=True).cte("chosen")
    definition = sa.select(TASK.c.definition).where(TASK.c.name == RUN.c.task).correlate(RUN).scalar_subquery()
    taken = (
        sa.update(RUN)
        .where(RUN.c.id == chosen.c.id)
        .values(node=node, fence=RUN.c.fence + 1, lease_until=NOW + interval(lease_seconds))
        .returning(
            RUN.c.id.label("run"),
            RUN.c.uid,
            RUN.c.task,
            RUN.c.fence,
            RUN.c.since,
            RUN.c.tries,
            RUN.c.consumer,
            RUN.c.payload,
            RUN.c.files,
            definition.label("definition"),
        )
    )
    rows = (await connection.execute(taken)).mappings()
    return [Claim(**row) for row in rows]


def paused() -> sa.ColumnElement[bool]:
    """Whether the task of a run is paused, or the group that the run belongs to."""
    group = RUN.alias("group_run")
    of_group = sa.select(group.c.task).where(group.c.id == RUN.c.parent).correlate(RUN).scalar_subquery()
    return sa.exists().where(TASK.c.name.in_([RUN.c.task, of_group]), TASK.c.paused_by.is_not(None)).correlate(RUN)


async def renew(connection: AsyncConnection, node: str, fences: Mapping[int, int], lease_seconds: float) -> set[int]:
    """Hold runs for longer; return those that are held still, but for those whose rows are locked just now.

    Args:
        connection: with autocommit.
        node: who holds them.
        fences: by run.
        lease_seconds: for how long from now on.
    """
    if not fences:
        return set()
    statement = sa.update(RUN).where(RUN.c.id.in_(_mine(node, fences)))
    statement = statement.values(lease_until=NOW + interval(lease_seconds))
    return set((await connection.execute(statement.returning(RUN.c.id))).scalars())


async def release(connection: AsyncConnection, node: str, fences: Mapping[int, int]) -> None:
    """Let go of runs that are held still; other nodes may take them at once. Those whose rows are locked stay held.

    Args:
        connection: with autocommit, or with a transaction.
        node: who holds them.
        fences: by run.
    """
    if fences:
        free = {"node": None, "lease_until": None}
        await connection.execute(sa.update(RUN).where(RUN.c.id.in_(_mine(node, fences))).values(free))


def _mine(node: str, fences: Mapping[int, int]) -> sa.Select[tuple[int]]:
    """Runs that are held still. One whose row is locked is noted just now, and keeps no other one waiting."""
    held = sa.tuple_(RUN.c.id, RUN.c.fence).in_(list(fences.items()))
    return sa.select(RUN.c.id).where(held, RUN.c.node == node).with_for_update(skip_locked=True)
