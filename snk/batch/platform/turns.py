"""Whose turn it is: the oldest run of each task, and the next one of each group; and which groups have ended.

All of it follows from the rows, so nothing is lost if a node dies between two changes: another one finds the same. Two
nodes that find the same at the same time change it once: the database refuses a second active run of a task.
"""

from collections.abc import Sequence
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.channels import Kind
from snk.batch.definition import Mode
from snk.batch.platform import alerts
from snk.batch.platform.ending import end
from snk.batch.platform.moves import Move, hold, move
from snk.batch.platform.tables import IS_LIVE, NOW, PRESENT, RUN, TASK
from snk.batch.state import LIVE, Event, State, of_files
from snk.db.functions import interval

PORTION = 500
_EVENTS = {
    State.COMPLETED: Event.COMPLETED,
    State.FAILED: Event.FAILED,
    State.RECON_FAILED: Event.RECON_FAILED,
    State.CANCELLED: Event.CANCELLED,
}


def _next_ones() -> sa.Select[tuple[int]]:
    """The oldest run of each task that may be active and is not; those of a backfill come last."""
    parent, sibling, other = RUN.alias("parent"), RUN.alias("sibling"), RUN.alias("other")
    before = (
        sa.exists()
        .where(  # what is nested twice does not find out by itself what it belongs to
            sibling.c.parent == RUN.c.parent,
            sibling.c.position < RUN.c.position,
            sibling.c.state != State.COMPLETED,
        )
        .correlate(RUN)
    )
    # A group that was cancelled does not go on; a task of it that is run again does so for itself.
    in_order = sa.and_(parent.c.active, sa.or_(parent.c.mode == "ASYNC", sa.not_(before)))
    in_turn = sa.exists().where(
        parent.c.id == RUN.c.parent, sa.or_(in_order, parent.c.state == sa.literal_column(f"'{State.CANCELLED}'"))
    )
    # No anti join: with many runs of one task, the planner would compare each that waits with each that is active.
    taken = sa.select(other.c.id).where(other.c.task == RUN.c.task, other.c.active).correlate(RUN).scalar_subquery()
    return (
        sa.select(RUN.c.id)
        .where(IS_LIVE, sa.not_(RUN.c.active), sa.or_(RUN.c.parent.is_(None), in_turn), taken.is_(None))
        .ext(pg.distinct_on(RUN.c.task))
        .order_by(RUN.c.task, RUN.c.backfill, RUN.c.id)
        .limit(PORTION)
    )


def waiting_for_a_look() -> sa.Subquery:
    """The runs that may be active and are not: each of them is made so by the next look of a node."""
    return _next_ones().limit(None).subquery("in_turn")


async def give(connection: AsyncConnection) -> int:
    """Make all runs active whose turn it is; return how many.

    Args:
        connection: with autocommit.
    """
    given = some = await _give_some(connection)
    while some == PORTION:
        some = await _give_some(connection)
        given += some
    return given


async def _give_some(connection: AsyncConnection) -> int:
    values = {
        "active": True,
        "due_at": sa.case((RUN.c.mode.is_(None), NOW)),
        "deadline_at": sa.func.coalesce(RUN.c.deadline_at, _deadline()),
    }
    statement = sa.update(RUN).where(sa.not_(RUN.c.active), IS_LIVE).values(values)
    # Their numbers are asked for first: in one statement the planner, which expects few that wait, joins all with all.
    numbers = list((await connection.execute(_next_ones())).scalars())
    if not numbers:
        return 0
    try:
        chosen = sa.any_(sa.literal(numbers, pg.ARRAY(sa.BigInteger)))
        return (await connection.execute(statement.where(RUN.c.id == chosen))).rowcount
    except IntegrityError:  # another node was faster with one of them
        given = 0
        for run in (await connection.execute(_next_ones())).scalars().all():
            with suppress(IntegrityError):
                given += (await connection.execute(statement.where(RUN.c.id == run))).rowcount
        return given


def _deadline() -> sa.ColumnElement[object]:
    """When a run is overdue whose turn it is now; null for never."""
    minutes = sa.cast(TASK.c.definition["deadline_minutes"].astext, sa.Float)
    due = sa.select(NOW + interval(60 * minutes)).where(TASK.c.name == RUN.c.task, minutes > 0)
    return due.correlate(RUN).scalar_subquery()


async def overdue(connection: AsyncConnection) -> list[tuple[int, str]]:
    """Mark the runs whose deadline has passed, and raise alerts; return their numbers and tasks. The runs go on.

    Args:
        connection: with autocommit: it is one statement.
    """
    return [(run, task) for run, task in await connection.execute(_OVERDUE)]


def _overdue() -> sa.Select[int, str]:
    past = sa.update(RUN).where(IS_LIVE, RUN.c.deadline_at <= PRESENT, sa.not_(RUN.c.overdue)).values(overdue=True)
    late = past.returning(RUN.c.id, RUN.c.task, RUN.c.deadline_at).cte("late")
    subject = sa.func.concat("run ", late.c.id)
    deadline = sa.func.to_char(sa.func.timezone("UTC", late.c.deadline_at), 'YYYY-MM-DD HH24:MI:SS "UTC"')
    text = sa.func.concat(subject, " of ", late.c.task, " did not end before ", deadline, "; it goes on")
    raising = alerts.raising(sa.select(sa.literal(Kind.OVERDUE), subject, text, late.c.task, late.c.id))
    return sa.select(late.c.id, late.c.task).add_cte(raising.cte("told"))


_OVERDUE = _overdue()


def group_state(mode: Mode, states: Sequence[State]) -> State | None:
    """The state in which a group has ended; None if it goes on.

    Args:
        mode: ``SYNC`` ends at the first task that did not complete.
        states: of the runs of its tasks, in order.
    """
    if mode == "SYNC":
        stopped = next((state for state in states if state != State.COMPLETED), State.COMPLETED)
        return None if stopped in LIVE else stopped
    return None if LIVE.intersection(states) else of_files(list(states))


async def groups(connection: AsyncConnection) -> list[int]:
    """The active runs of groups that `tend` may change: those with tasks that began first, failed, or all ended."""
    child = RUN.alias("child")

    def any_child(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        return sa.exists().where(child.c.parent == RUN.c.id, *conditions).correlate(RUN)

    live = child.c.state.in_(sorted(LIVE))
    begun = sa.and_(RUN.c.state == State.WAITING, any_child(child.c.state != State.WAITING))
    stopped = sa.and_(RUN.c.mode == "SYNC", any_child(sa.not_(live), child.c.state != State.COMPLETED))
    wanted = sa.select(RUN.c.id).where(RUN.c.active, RUN.c.mode.is_not(None))
    return list((await connection.execute(wanted.where(sa.or_(begun, stopped, sa.not_(any_child(live)))))).scalars())


async def tend(connection: AsyncConnection, run: int, who: str) -> State | None:
    """Begin or end the run of a group as its tasks have; return its state if it changed. To be called in a transaction.

    Args:
        connection: with a transaction.
        run: its number.
        who: the node.
    """
    held = await hold(connection, run)  # first: a rerun of one of its tasks holds it, too
    if held is None or held.state not in LIVE or held.mode is None:
        return None
    wanted = sa.select(RUN.c.state).where(RUN.c.parent == run).order_by(RUN.c.position)
    states = [State(state) for state in (await connection.execute(wanted)).scalars()]
    state = group_state(held.mode, states)
    if state is not None:
        reason = f"a task of the group is {state}" if state != State.COMPLETED else ""
        # What waits in a group that failed begins when that is run again; nothing follows on one that was cancelled.
        taken_along = LIVE if state == State.CANCELLED else frozenset[State]()
        return await end(connection, held, Move(_EVENTS[state], who, reason), taken_along)
    if held.state == State.WAITING and set(states) != {State.WAITING}:
        return await move(connection, held, Move(Event.CALLED, who))
    return None
