"""Finds what pages show. Every list has an end, and what is sorted is found by small indexes."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.nodes import ALIVE
from snk.batch.platform.rows import Row, as_json
from snk.batch.platform.tables import ALERT, ATTEMPT, IS_LIVE, IS_OPEN, NODE, PRESENT, RUN, TASK
from snk.batch.state import State

MOST_ROWS = 100
"""On one page."""
MOST_TROUBLES = 10
STATES = ("attention", "running", "waiting", "paused", "idle")
"""In which a task may be, for those who look for one; ``attention`` is an open alert."""
SORTS = ("worst", "name", "next")
_COUNT = sa.func.count()


@dataclass(frozen=True, slots=True)
class Standing:
    """What every page tells of the platform.

    Attributes:
        now: by the clock of the database.
        nodes: how many are alive.
        alerts: how many are open.
        texts: of the newest of them.
    """

    now: datetime
    nodes: int
    alerts: int
    texts: list[str]


async def standing(connection: AsyncConnection) -> Standing:
    """How the platform is."""
    alive = sa.select(_COUNT).select_from(NODE).where(ALIVE).scalar_subquery()
    still = sa.select(_COUNT).select_from(ALERT).where(IS_OPEN).scalar_subquery()
    row = (await connection.execute(sa.select(PRESENT, alive, still))).one()
    newest = sa.select(ALERT.c.text).where(IS_OPEN).order_by(ALERT.c.id.desc()).limit(MOST_TROUBLES)
    texts = list((await connection.execute(newest)).scalars()) if row[2] else []
    return Standing(row[0], row[1], row[2], texts)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks or groups are looked for.

    Attributes:
        kind: ``task`` or ``group``.
        text: that their names contain.
        state: one of `STATES`; empty for all.
        group: that they belong to; empty for any.
        sort: one of `SORTS`.
        most: how many.
        names: only these; None for all.
    """

    kind: str
    text: str = ""
    state: str = ""
    group: str = ""
    sort: str = "worst"
    most: int = MOST_ROWS
    names: Collection[str] | None = None


def all_of(wanted: Wanted, most: int) -> Wanted:
    """The same, up to another number."""
    return replace(wanted, most=most)


@dataclass(frozen=True, slots=True)
class Found:
    """A part of a list.

    Attributes:
        count: how many there are in all.
    """

    rows: list[Row] = field(default_factory=list)
    count: int = 0

    @property
    def more(self) -> int:
        """How many are not shown."""
        return self.count - len(self.rows)


_ACTIVE = RUN.alias("live")
_ALERTS = (
    sa.select(ALERT.c.task, _COUNT.label("open"))
    .where(IS_OPEN, ALERT.c.task.is_not(None))
    .group_by(ALERT.c.task)
    .subquery("alerts")
)
_PAUSED = TASK.c.paused_by.is_not(None)
_WHERE = {
    "attention": _ALERTS.c.open > 0,
    "running": _ACTIVE.c.state == State.RUNNING,
    "waiting": _ACTIVE.c.state == State.WAITING,
    "paused": _PAUSED,
    "idle": _ACTIVE.c.id.is_(None),
}
_ORDER: dict[str, list[sa.ColumnElement[Any]]] = {
    "worst": [
        sa.func.coalesce(_ALERTS.c.open, 0).desc(),
        _PAUSED.desc(),
        _ACTIVE.c.id.is_(None),
        TASK.c.name,
    ],
    "name": [TASK.c.name],
    "next": [TASK.c.next_tick.nulls_last(), TASK.c.name],
}


async def tasks(connection: AsyncConnection, wanted: Wanted) -> Found:
    """Tasks or groups, each with its live run and the one that ended last."""
    chosen = _chosen(wanted).subquery("chosen")
    over = RUN.alias("over")
    took = sa.cast(sa.extract("epoch", over.c.ended_at - over.c.started_at), sa.Float)
    columns = (over.c.id.label("last"), over.c.state.label("last_state"), over.c.ended_at, took.label("seconds"))
    last = (
        sa.select(*columns)
        .where(over.c.task == chosen.c.name, over.c.ended_at.is_not(None))
        .order_by(over.c.id.desc())
        .limit(1)
        .lateral("last")
    )
    both = chosen.outerjoin(last, sa.true())
    asked = sa.select(chosen, *last.c).select_from(both).order_by(chosen.c.place)
    rows = [as_json(row) for row in (await connection.execute(asked)).mappings()]
    return Found(rows, rows[0]["found"] if rows else 0)


def _chosen(wanted: Wanted) -> sa.Select[Any]:
    order = _ORDER[wanted.sort]
    members = TASK.c.definition["tasks"].label("tasks")
    columns = (TASK.c.name, TASK.c.next_tick, TASK.c.paused_by, TASK.c.definition["mode"].astext.label("mode"), members)
    live = (_ACTIVE.c.id.label("run"), _ACTIVE.c.state, _ACTIVE.c.overdue, _ACTIVE.c.tries, _ACTIVE.c.started_at)
    counts = (
        sa.func.coalesce(_ALERTS.c.open, 0).label("alerts"),
        sa.func.row_number().over(order_by=order).label("place"),
        _COUNT.over().label("found"),
    )
    beside = TASK.outerjoin(_ACTIVE, sa.and_(_ACTIVE.c.task == TASK.c.name, _ACTIVE.c.active))
    asked = sa.select(*columns, *live, *counts).select_from(beside.outerjoin(_ALERTS, _ALERTS.c.task == TASK.c.name))
    asked = asked.where(TASK.c.kind == wanted.kind)
    if wanted.text:
        asked = asked.where(TASK.c.name.icontains(wanted.text, autoescape=True))
    if wanted.state:
        asked = asked.where(_WHERE[wanted.state])
    if wanted.group:
        asked = asked.where(_is_in(wanted.group))
    if wanted.names is not None:
        asked = asked.where(TASK.c.name.in_(wanted.names))
    return asked.order_by(*order).limit(wanted.most)


def _is_in(group: str) -> sa.ColumnElement[bool]:
    """Whether a task belongs to a group."""
    owner = TASK.alias("owner")
    named = sa.and_(owner.c.name == group, owner.c.kind == "group", owner.c.definition["tasks"].has_key(TASK.c.name))
    return sa.exists().where(named).correlate(TASK)


async def groups(connection: AsyncConnection) -> list[str]:
    """The names of groups, to choose from."""
    asked = sa.select(TASK.c.name).where(TASK.c.kind == "group").order_by(TASK.c.name).limit(10 * MOST_ROWS)
    return list((await connection.execute(asked)).scalars())


async def groups_of(connection: AsyncConnection, task: str) -> list[str]:
    """The groups that a task belongs to."""
    asked = sa.select(TASK.c.name).where(TASK.c.kind == "group", TASK.c.definition["tasks"].has_key(task))
    return list((await connection.execute(asked.order_by(TASK.c.name).limit(MOST_ROWS))).scalars())


async def live_of(connection: AsyncConnection, name: str) -> int:
    """How many runs of a task or group are live."""
    return int((await connection.execute(sa.select(_COUNT).where(RUN.c.task == name, IS_LIVE))).scalar_one())


async def run_numbers(
    connection: AsyncConnection, task: str | None, states: Collection[State], most: int
) -> tuple[list[Row], int]:
    """Number, task and state of runs, newest first, and how many there are in all.

    Without a task, a run of a group stands for those of its tasks that are in one of the same states.

    Args:
        connection: one that sees one moment.
        task: of this task or group only.
        states: in one of these.
        most: how many are returned.
    """
    # As literals, so that an index is found for them.
    literals = [sa.literal_column(f"'{each}'", sa.Text) for each in sorted(states)]
    above = RUN.alias("above")
    of_group = sa.exists().where(above.c.id == RUN.c.parent, above.c.state.in_(literals)).correlate(RUN)
    where = [RUN.c.state.in_(literals), sa.not_(of_group) if task is None else RUN.c.task == task]
    count = (await connection.execute(sa.select(_COUNT).select_from(RUN).where(*where))).scalar_one()
    asked = sa.select(RUN.c.id, RUN.c.task, RUN.c.state).where(*where).order_by(RUN.c.id.desc()).limit(most)
    return [as_json(row) for row in (await connection.execute(asked)).mappings()], int(count)


async def alert_text(connection: AsyncConnection, alert: int) -> str | None:
    """What an alert that is open says; None if there is no such one."""
    asked = sa.select(ALERT.c.text).where(ALERT.c.id == alert, IS_OPEN)
    text: str | None = (await connection.execute(asked)).scalar_one_or_none()
    return text


async def nodes(connection: AsyncConnection) -> list[Row]:
    """The nodes that were there within a day, those that live first, each with the calls that it makes just now."""
    calls = sa.select(_COUNT).where(RUN.c.active, RUN.c.node == NODE.c.name, RUN.c.lease_until > PRESENT)
    columns = (NODE, ALIVE.label("alive"), calls.correlate(NODE).scalar_subquery().label("calls"))
    asked = sa.select(*columns).order_by(ALIVE.desc(), NODE.c.name).limit(MOST_ROWS)
    return [as_json(row) for row in (await connection.execute(asked)).mappings()]


async def called(connection: AsyncConnection) -> list[Row]:
    """What is known of the consumers of runs that are active, by instance: those that fail first."""
    tries = sa.func.max(RUN.c.tries)
    columns = (
        RUN.c.consumer,
        _COUNT.label("runs"),
        tries.label("tries"),
        sa.func.max(RUN.c.worked_at).label("worked_at"),
    )
    asked = sa.select(*columns).where(RUN.c.active, RUN.c.consumer.is_not(None)).group_by(RUN.c.consumer)
    rows = await connection.execute(asked.order_by(tries.desc(), RUN.c.consumer).limit(MOST_ROWS))
    failures = await _failures(connection)
    return [{**as_json(row), "failure": failures.get(row["consumer"], "")} for row in rows.mappings()]


async def _failures(connection: AsyncConnection) -> dict[str, str]:
    """What came of the last calls of consumers that fail just now."""
    failing = sa.select(RUN.c.id).where(RUN.c.active, RUN.c.tries > 0).order_by(RUN.c.tries.desc()).limit(MOST_ROWS)
    runs = failing.subquery("failing")
    call = (
        sa.select(ATTEMPT.c.consumer, ATTEMPT.c.outcome)
        .where(ATTEMPT.c.run == runs.c.id)
        .order_by(ATTEMPT.c.fence.desc())
        .limit(1)
        .lateral("call")
    )
    rows = await connection.execute(sa.select(*call.c).select_from(runs.join(call, sa.true())))
    return {row.consumer: row.outcome for row in rows}


async def defined_consumers(connection: AsyncConnection) -> dict[str, list[str]]:
    """The addresses in definitions, and the tasks that name them; of so many tasks at most as a page may list."""
    asked = sa.select(TASK.c.name, TASK.c.definition["consumers"].label("consumers")).where(TASK.c.kind == "task")
    found: dict[str, list[str]] = {}
    for row in await connection.execute(asked.order_by(TASK.c.name).limit(10 * MOST_ROWS)):
        for consumer in row.consumers or ():
            found.setdefault(str(consumer), []).append(row.name)
    return found
