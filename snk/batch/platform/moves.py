"""Changes the state of a run: the only place where that is done, each time with a line in the audit.

Every change locks one run and no other row, so no two can wait for each other. What follows from it, such as the next
run of a task or the end of a group, is found by `snk.batch.platform.turns`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import Mode
from snk.batch.platform import alerts, stops
from snk.batch.platform.tables import AUDIT, NOW, RUN, TASK
from snk.batch.state import LIVE, UNSETTLED, Event, State, following
from snk.errors import Stop

_GIVEN_UP = frozenset((Event.CANCELLED, Event.SKIPPED))
"""Ends of which a consumer does not know."""


class Unknown(Stop):
    """There is no such task, group or run."""


@dataclass(frozen=True, slots=True)
class Move:
    """What happens to a run.

    Attributes:
        who: a person, a node or a consumer.
        reason: why, for the audit and for the run.
        files: for a rerun, the names of the files that are run again; None for all.
    """

    event: Event
    who: str
    reason: str = ""
    files: tuple[str, ...] | None = None

    def line(self, held: "Held") -> dict[str, object]:
        """What the audit says of it."""
        return {"who": self.who, "what": self.event, "subject": f"run {held.id}", "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Held:
    """A run whose row is locked until the transaction ends.

    Attributes:
        wanted: the files that it is to load.
    """

    id: int
    task: str
    state: State
    fence: int
    since: int
    mode: Mode | None
    node: str | None
    wanted: tuple[str, ...] = ()


async def hold(connection: AsyncConnection, run: int) -> Held | None:
    """Lock a run; None if there is no such one."""
    return (await hold_all(connection, [run])).get(run)


async def hold_all(connection: AsyncConnection, runs: Collection[int]) -> dict[int, Held]:
    """Lock runs, in the order of their numbers, so that no two transactions wait for each other; those there are."""
    columns = (RUN.c.id, RUN.c.task, RUN.c.state, RUN.c.fence, RUN.c.since, RUN.c.mode, RUN.c.node)
    defined = sa.select(TASK.c.definition["files"]).where(TASK.c.name == RUN.c.task).scalar_subquery()
    files = sa.func.coalesce(RUN.c.files, defined, type_=pg.JSONB).label("wanted")  # a list of names, or by names
    asked = sa.select(*columns, files).where(RUN.c.id.in_(runs)).order_by(RUN.c.id).with_for_update(of=RUN)
    rows = (await connection.execute(asked)).mappings()
    return {row["id"]: _held(row) for row in rows}


def _held(row: sa.RowMapping) -> Held:
    return Held(**{**row, "state": State(row["state"]), "wanted": tuple(row["wanted"] or ())})


async def move(connection: AsyncConnection, held: Held, done: Move) -> State:
    """Change the state of a run that is held; return the new one.

    Raises:
        Refused: the event cannot happen in its state.
    """
    state = following(held.state, done.event)
    changes: dict[str, object] = {"state": state, "reason": done.reason}
    if state not in LIVE:
        changes |= {"active": False, "due_at": None, "node": None, "lease_until": None, "ended_at": NOW}
    elif done.event == Event.RERUN:
        files = None if done.files is None else list(done.files)
        changes |= {
            "since": held.fence + 1,
            "tries": 0,
            "started_at": None,
            "ended_at": None,
            "overdue": False,
            "files": files,
        }
        changes["deadline_at"] = None  # its next turn sets a new one
    elif held.state == State.WAITING:
        changes["started_at"] = sa.func.coalesce(RUN.c.started_at, NOW)
    if held.state in LIVE and done.event in _GIVEN_UP:
        await stops.owe(connection, [held.id])  # before the change: it looks whether a call is under way
    await connection.execute(sa.update(RUN).where(RUN.c.id == held.id).values(changes))
    if state != held.state:
        await audit(connection, [done.line(held)])
    await alerts.found_all(connection, failures(held, state, done.reason))
    return state


def failures(held: Held, state: State, reason: str) -> list[alerts.Cause]:
    """What is told of a run that is in a state now. A group fails because a run of its tasks did, which is told."""
    if state not in UNSETTLED or held.mode is not None:
        return []
    return [alerts.of_run(held.id, held.task, state, reason, again=held.since > 0)]


async def note(connection: AsyncConnection, who: str, what: str, subject: str, reason: str = "") -> None:
    """Write a line of the audit."""
    await audit(connection, [{"who": who, "what": what, "subject": subject, "reason": reason}])


async def audit(connection: AsyncConnection, lines: Sequence[dict[str, object]]) -> None:
    """Write lines of the audit: who, what, subject and reason of each."""
    if lines:
        await connection.execute(sa.insert(AUDIT), list(lines))
