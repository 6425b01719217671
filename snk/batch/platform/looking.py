"""Looks up for people what the tables hold: lists of tasks, runs and nodes, the audit, and all that is known of one."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Unknown
from snk.batch.platform.nodes import ALIVE
from snk.batch.platform.rows import Row, as_json
from snk.batch.platform.tables import ATTEMPT, AUDIT, FILE, IS_LIVE, NODE, RUN, STOP, TASK
from snk.batch.state import LIVE, State

SHOWN = ("id", "task", "key", "parent", "state", "overdue", "active", "reason", "node", "consumer", "calls", "tries")
TIMES = ("due_at", "deadline_at", "created_at", "started_at", "ended_at")
MOST_LIVE = 100
BEGINS = 100
"""So many characters of a payload stand in lists."""
_TASK = [TASK.c[name] for name in ("name", "kind", "message", "next_tick", "paused_by", "paused_note", "paused_at")]
_TOOK = sa.cast(sa.extract("epoch", RUN.c.ended_at - RUN.c.started_at), sa.Float)
_REJECTED = sa.select(sa.cast(sa.func.sum(FILE.c.rejected), sa.BigInteger)).where(FILE.c.run == RUN.c.id)
_RUN = [
    *(RUN.c[name] for name in (*SHOWN, *TIMES)),
    _TOOK.label("seconds"),
    _REJECTED.correlate(RUN).scalar_subquery().label("rejected"),
    sa.func.left(sa.cast(RUN.c.payload, sa.Text), BEGINS).label("payload_begins"),
]
"""Of a run, with how long it took if it has ended, how many records were rejected, and how its payload begins."""
_STOP = [STOP.c[name] for name in ("consumer", "fence", "tries", "reason", "due_at", "told_at", "gave_up_at")]


@dataclass(frozen=True, slots=True)
class Part:
    """Which rows of a list.

    Attributes:
        most: how many.
        before: only those with a lower number; None for the newest ones.
    """

    most: int
    before: int | None = None

    def of(self, wanted: sa.Select[Any], number: sa.Column[int]) -> sa.Select[Any]:
        """These rows, newest first."""
        older = wanted if self.before is None else wanted.where(number < self.before)
        return older.order_by(number.desc()).limit(self.most)


async def runs(connection: AsyncConnection, task: str | None, states: list[str], part: Part) -> list[Row]:
    """Runs, newest first.

    Args:
        connection: any.
        task: of this task or group only.
        states: in one of these only; empty for all.
        part: which of them.
    """
    wanted = sa.select(*_RUN)
    if task is not None:
        wanted = wanted.where(RUN.c.task == task)
    if states:
        # As literals, so that an index is found for them.
        wanted = wanted.where(RUN.c.state.in_([sa.literal_column(f"'{State(each)}'", sa.Text) for each in states]))
    return await _rows(connection, part.of(wanted, RUN.c.id))


async def runs_of(connection: AsyncConnection, name: str, states: list[str], part: Part) -> list[Row]:
    """The same, of a task or group that is there, or was.

    Raises:
        Unknown: there is no such one, and no run of one.
    """
    found = await runs(connection, name, states, part)
    if not found and not await runs(connection, name, [], Part(1)):
        await task(connection, name)
    return found


async def audit(connection: AsyncConnection, subject: str | None, part: Part) -> list[Row]:
    """Who did what, newest first.

    Args:
        connection: any.
        subject: to this only: a task, a group, or ``run N``.
        part: which lines.
    """
    wanted = sa.select(AUDIT)
    if subject is not None:
        wanted = wanted.where(AUDIT.c.subject == subject)
    return await _rows(connection, part.of(wanted, AUDIT.c.id))


async def nodes(connection: AsyncConnection) -> list[Row]:
    """The nodes that were there within a day, and whether each is alive."""
    return await _rows(connection, sa.select(NODE, ALIVE.label("alive")).order_by(NODE.c.name))


async def tasks(connection: AsyncConnection) -> list[Row]:
    """All tasks and groups."""
    return await _rows(connection, sa.select(*_TASK).order_by(TASK.c.name))


async def task(connection: AsyncConnection, name: str) -> Row:
    """A task or group with its definition and its live runs, oldest first.

    Raises:
        Unknown: there is no such one.
    """
    found = await _rows(connection, sa.select(*_TASK, TASK.c.definition).where(TASK.c.name == name))
    if not found:
        raise Unknown(f"there is no task or group {name!r}")
    live = sa.select(*_RUN).where(RUN.c.task == name, IS_LIVE).order_by(RUN.c.id).limit(MOST_LIVE)
    return {**found[0], "runs": await _rows(connection, live)}


async def task_of(connection: AsyncConnection, run: int, uid: UUID | None) -> str:
    """Of which task or group a run is.

    Args:
        connection: to read with.
        run: its number.
        uid: what else it is known by; None if that does not matter.

    Raises:
        Unknown: there is no such run.
    """
    asked = sa.select(RUN.c.task).where(RUN.c.id == run, RUN.c.uid == uid if uid else sa.true())
    found: str | None = (await connection.execute(asked)).scalar_one_or_none()
    if found is None:
        raise Unknown(f"there is no run {run}")
    return found


async def one(connection: AsyncConnection, run: int, most: int | None = None) -> Row:
    """A run with its files, its calls, its tasks if it is that of a group, and its audit; and if the platform ended it,
    whether its consumer knows.

    Args:
        connection: one that sees one moment.
        run: its number.
        most: how many of each are listed, of calls and audit the last ones; None for all.

    Raises:
        Unknown: there is no such run.
    """
    rows = await _rows(connection, sa.select(*_RUN, RUN.c.payload).where(RUN.c.id == run))
    if not rows:
        raise Unknown(f"there is no run {run}")
    parts = {
        "files": _files(run),
        "attempts": sa.select(ATTEMPT).where(ATTEMPT.c.run == run).order_by(ATTEMPT.c.fence.desc()),
        "tasks": sa.select(*_RUN).where(RUN.c.parent == run).order_by(RUN.c.position),
        "audit": sa.select(AUDIT).where(AUDIT.c.subject == f"run {run}").order_by(AUDIT.c.id.desc()),
    }
    owed = sa.select(*_STOP).join(RUN, RUN.c.id == STOP.c.run).where(STOP.c.run == run)
    stop = await _rows(connection, owed.where(sa.not_(IS_LIVE), STOP.c.fence >= RUN.c.since))  # not of a turn before
    lists = {name: await _rows(connection, asked.limit(most)) for name, asked in parts.items()}
    for name in ("attempts", "audit"):
        lists[name].reverse()  # the oldest first, as they happened
    return {**rows[0], "stop": stop[0] if stop else None, **lists}


def _files(run: int) -> sa.Select[Any]:
    """What is known of the files of a run. One that did not end when the run did is given up, as the run is."""
    over = sa.exists().where(RUN.c.id == FILE.c.run, sa.not_(IS_LIVE))
    given_up = sa.and_(FILE.c.state.in_(sorted(LIVE)), over)
    state = sa.case((given_up, State.CANCELLED), else_=FILE.c.state).label("state")
    columns = [state if each is FILE.c.state else each for each in FILE.c]
    return sa.select(*columns).where(FILE.c.run == run).order_by(FILE.c.name)


async def _rows(connection: AsyncConnection, wanted: sa.Select[Any]) -> list[Row]:
    return [as_json(row) for row in (await connection.execute(wanted)).mappings()]
