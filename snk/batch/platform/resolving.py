"""Resolves alerts whose cause is gone.

A run that completes does not look for alerts: that would cost each of them a statement. Instead nodes look at the
alerts that are open, which are few, and at what the rows say of each.
"""

import sqlalchemy as sa

from snk.batch.channels import Kind
from snk.batch.platform.alerts import resolve
from snk.batch.platform.nodes import ALIVE
from snk.batch.platform.tables import ALERT, IS_LIVE, IS_OPEN, NODE, RUN, TASK
from snk.db.pool import Pool

_DEFINED = sa.exists().where(TASK.c.name == ALERT.c.task).correlate(ALERT)

_OF_CALLS = ALERT.c.kind.in_([Kind.UNREACHABLE, Kind.CALLS_FAILED])


def _gone() -> sa.ColumnElement[bool]:
    of_run = RUN.c.id == ALERT.c.run
    failed = _exists(of_run, sa.or_(IS_LIVE, RUN.c.state == sa.func.upper(ALERT.c.kind)))
    overdue = _exists(of_run, IS_LIVE, RUN.c.overdue)
    # Any run of the task, also one from before the alert, that is under way, or has ended since.
    worked = RUN.c.task == ALERT.c.task, RUN.c.worked_at > ALERT.c.seen_at
    called = sa.or_(_exists(*worked, RUN.c.active), _exists(*worked, RUN.c.ended_at > ALERT.c.seen_at))
    return sa.or_(
        sa.and_(ALERT.c.kind.in_([Kind.FAILED, Kind.RECON_FAILED]), sa.not_(failed)),
        sa.and_(ALERT.c.kind == Kind.OVERDUE, sa.not_(overdue)),
        sa.and_(_OF_CALLS, sa.or_(called, sa.not_(_DEFINED))),
        sa.and_(ALERT.c.kind == Kind.NO_NODE, sa.exists().select_from(NODE).where(ALIVE)),
    )


def _exists(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(*conditions).correlate(ALERT)


def _why() -> sa.ColumnElement[str]:
    state = sa.select(RUN.c.state).where(RUN.c.id == ALERT.c.run).correlate(ALERT).scalar_subquery()
    of_run = sa.func.concat(ALERT.c.subject, " of ", ALERT.c.task, " is ", sa.func.coalesce(state, "gone"))
    return sa.case(
        (sa.and_(_OF_CALLS, sa.not_(_DEFINED)), sa.func.concat("there is no task ", ALERT.c.task, " any more")),
        (_OF_CALLS, sa.func.concat("a call of the consumer of ", ALERT.c.task, " worked")),
        (ALERT.c.kind == Kind.NO_NODE, "a node is alive"),
        else_=of_run,
    )


_GONE = _gone()
_WHY = _why()
_ANY = sa.select(ALERT.c.id).where(IS_OPEN, _GONE).limit(1)
_LOCKED = sa.select(ALERT.c.id).where(IS_OPEN, _GONE).order_by(ALERT.c.id).with_for_update(skip_locked=True)


async def sweep(pool: Pool) -> None:
    """Resolve the alerts whose cause is gone: failures when the run has ended otherwise, also after it was run again;
    ``overdue`` when it has ended at all; ``unreachable`` and ``calls_failed`` when a call of the task worked, or there
    is no such task any more; ``no_node`` when a node lives.

    Raises:
        SnkError: the database failed.
    """
    async with pool.connection("statement") as connection:
        if not (await connection.execute(_ANY)).first():
            return
    async with pool.begin() as connection:
        # Who finds a cause again holds the alert until that is committed. So what is locked here is looked at once
        # more, by a statement that sees all that was committed before.
        ids = list((await connection.execute(_LOCKED)).scalars())
        await resolve(connection, sa.and_(ALERT.c.id.in_(ids), _GONE), _WHY)
