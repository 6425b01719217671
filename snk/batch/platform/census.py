"""Counts what is under way. Only what the small indexes of live runs hold is read, however many runs have ended."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.nodes import ALIVE
from snk.batch.platform.tables import IS_LIVE, NODE, NOW, RUN
from snk.batch.state import LIVE


@dataclass(frozen=True, slots=True)
class Census:
    """What is under way on all nodes.

    Attributes:
        runs: live runs by state.
        queued: those whose turn it is not.
        overdue: those whose deadline has passed.
        due: how many wait for a node.
        oldest_due_seconds: for how long one has waited; 0 if none does.
        calls: how many are held by a node, which calls their consumers.
        nodes: how many are alive.
    """

    runs: Mapping[str, int]
    queued: int
    overdue: int
    due: int
    oldest_due_seconds: float
    calls: int
    nodes: int


async def census(connection: AsyncConnection) -> Census:
    """Count."""
    count = sa.func.count()
    held = RUN.c.lease_until > NOW
    due = sa.and_(RUN.c.due_at <= NOW, sa.or_(RUN.c.lease_until.is_(None), RUN.c.lease_until <= NOW))
    age = sa.extract("epoch", NOW - sa.func.min(RUN.c.due_at).filter(due))
    active = sa.select(
        RUN.c.state,
        count.label("count"),
        count.filter(RUN.c.overdue).label("overdue"),
        count.filter(due).label("due"),
        sa.func.coalesce(age, 0).label("age"),
        count.filter(held).label("calls"),
    )
    queued = sa.select(RUN.c.state, count, count.filter(RUN.c.overdue)).where(IS_LIVE, sa.not_(RUN.c.active))
    # Two statements: together they would fit no index.
    rows = (await connection.execute(active.where(RUN.c.active).group_by(RUN.c.state))).all()
    waiting = (await connection.execute(queued.group_by(RUN.c.state))).all()
    alive = sa.select(count).select_from(NODE).where(ALIVE)
    runs = {str(state): 0 for state in sorted(LIVE)}
    for state, number, *_ in (*rows, *waiting):
        runs[state] += number
    return Census(
        runs=runs,
        queued=sum(row[1] for row in waiting),
        overdue=sum(row[2] for row in (*rows, *waiting)),
        due=sum(row.due for row in rows),
        oldest_due_seconds=max((float(row.age) for row in rows), default=0.0),
        calls=sum(row.calls for row in rows),
        nodes=(await connection.execute(alive)).scalar_one(),
    )
