"""Takes a call of the platform: notes its run the first time, begins again what is run again, and reports.

Calls for one task are serialised across all consumers. If no consumer holds the run, the one that answers the call
claims it and resumes the work.

A platform has one active run of a task. When a run begins, older runs of the same task and platform that have not ended
are cancelled here: the platform has given them up, and they must not write after the new one. When the platform ends a
run and begins no other one, it says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection
from yarl import URL

from snk.batch.consumer.holding import FREE, Hold, committing, take_hold
from snk.batch.consumer.reporting import report, settle
from snk.batch.consumer.tables import FILE, NOW, OUTBOX, RUN
from snk.batch.consumer.work import forget_records
from snk.batch.state import LIVE, State
from snk.batch.wire import Call, Told
from snk.db.locks import lock_in_transaction
from snk.errors import Stop
from snk.http.origin import Origin, origin_of

Why = Literal["stale-fence", "other-task", "not-found"]


class Refused(Stop):
    """What the platform asks is not done.

    Attributes:
        why: a call of a later fence has come before; the run is that of another task; or there is none.
    """

    def __init__(self, message: str, why: Why) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Taken:
    """A call that was taken.

    Attributes:
        run: its key in the consumer's tables.
        told: the answer.
        hold: on the run, if nobody worked on it; None if somebody does, or there is nothing to do.
    """

    run: int
    told: Told
    hold: Hold | None


async def take(connection: AsyncConnection, call: Call, holder: str, lease_seconds: float) -> Taken:
    """Take a call, in a transaction.

    Args:
        connection: in a transaction.
        call: what the platform asks.
        holder: the consumer that would work on it.
        lease_seconds: for how long it would, unless that is prolonged.

    Raises:
        Refused: why the call is not answered.
    """
    await lock_in_transaction(connection, f"snk batch consumer {call.task}")
    new = await _note(connection, call)
    row = await _locked(connection, call.task, call.uid, call.fence)
    seen = {"fence": call.fence, "callback": call.callback, "called_at": NOW}
    await connection.execute(sa.update(RUN).where(RUN.c.id == row.id).values(seen))
    if new:
        await _add(connection, row.id, call)
    elif call.since > row.since:
        await _begin_again(connection, row.id, call)
    elif row.state not in LIVE:
        return Taken(row.id, await report(connection, row.id), None)
    if new or call.since > row.since:
        await _supersede(connection, row.id, call)
        if not call.files:
            return Taken(row.id, await settle(connection, row.id), None)
    hold = await take_hold(connection, row.id, holder, lease_seconds)
    return Taken(row.id, await report(connection, row.id), hold)


async def cancel(connection: AsyncConnection, task: str, uid: UUID, fence: int) -> State:
    """Stop a run that the platform has ended, in a transaction; return its state. One that has ended stays as it is.

    What is merged of it was committed before, or is rolled back; a larger ``since`` begins it again.

    Args:
        connection: in a transaction.
        task: its task.
        uid: the run.
        fence: of its last call.

    Raises:
        Refused: why it is not stopped.
    """
    await lock_in_transaction(connection, f"snk batch consumer {task}")
    row = await _locked(connection, task, uid, fence)
    if row.state not in LIVE:
        return State(row.state)
    await connection.execute(sa.update(RUN).where(RUN.c.id == row.id).values(fence=fence))
    await _give_up(connection, [row.id], "the platform has ended the run")
    return State.CANCELLED


async def _locked(
    connection: AsyncConnection, task: str, uid: UUID, fence: int
) -> sa.Row[int, int, str, int, int, str]:
    """The row of a run, locked.

    Raises:
        Refused: there is none, or it is not for who asks.
    """
    columns = (RUN.c.id, RUN.c.number, RUN.c.task, RUN.c.fence, RUN.c.since, RUN.c.state)
    asked = sa.select(*columns).where(RUN.c.uid == uid).with_for_update()
    row = (await connection.execute(asked)).one_or_none()
    if row is None:
        raise Refused(f"There is no run {uid}", "not-found")
    if row.task != task:
        raise Refused(f"Run {row.number} is one of the task {row.task!r}, not {task!r}", "other-task")
    if fence < row.fence:
        raise Refused(f"The fence is {fence}, and {row.fence} has been seen", "stale-fence")
    return row


async def _note(connection: AsyncConnection, call: Call) -> bool:
    """Note a run; whether it is a new one."""
    values = {
        "uid": call.uid,
        "number": call.run,
        "payload": dict(call.payload),
        "callback": call.callback,
        "state": State.RUNNING,
    }
    values |= {"task": call.task, "fence": call.fence, "since": call.since}
    insert = pg.insert(RUN).values(values).on_conflict_do_nothing(index_elements=[RUN.c.uid])
    return bool((await connection.execute(insert)).rowcount)


async def _add(connection: AsyncConnection, run: int, call: Call) -> None:
    rows = [{"run": run, "name": name, "definition": file.model_dump(mode="json")} for name, file in call.files.items()]
    if rows:
        await connection.execute(sa.insert(FILE), rows)


async def _begin_again(connection: AsyncConnection, run: int, call: Call) -> None:
    """Delete the files named in a call and all incomplete ones, and add the former anew; a consumer that holds the run
    is overtaken.

    An incomplete file that the call does not name was removed from the definition; the run would wait for it for ever.
    """
    again = sa.or_(FILE.c.name.in_(list(call.files)), FILE.c.state != State.COMPLETED)
    asked = sa.select(FILE.c.id).where(FILE.c.run == run, again).order_by(FILE.c.id).with_for_update()
    files = list((await connection.execute(asked)).scalars())
    await forget_records(connection, files)
    await connection.execute(sa.delete(FILE).where(FILE.c.id.in_(files)))
    await _add(connection, run, call)
    await connection.execute(sa.delete(OUTBOX).where(OUTBOX.c.run == run))
    values = {"since": call.since, "state": State.RUNNING, "reason": "", "payload": dict(call.payload)}
    values |= {**FREE, "attempt": RUN.c.attempt + 1, "ended_at": None}
    await connection.execute(sa.update(RUN).where(RUN.c.id == run).values(values))


async def _supersede(connection: AsyncConnection, run: int, call: Call) -> None:
    """Cancel older runs of this task and platform."""
    others = sa.and_(RUN.c.task == call.task, RUN.c.id != run, RUN.c.state.in_(sorted(LIVE)))
    found = await connection.execute(sa.select(RUN.c.id, RUN.c.callback).where(others).order_by(RUN.c.id))
    old = [each.id for each in found if _platform(each.callback) == _platform(call.callback)]
    if old:
        await _give_up(connection, old, f"run {call.run} of the task began")


async def _give_up(connection: AsyncConnection, runs: Sequence[int], reason: str) -> None:
    """Cancel runs; a consumer that holds one is overtaken.

    A file whose row is locked is being written; this does not wait for it, because its consumer checks the attempt of
    the run before it commits. Only what has been checked, and is being committed, is waited for: nothing is written any
    more when this is done. Reports are kept; upkeep deletes the staged records.
    """
    for run in runs:
        await lock_in_transaction(connection, committing(run))
    ended = {"state": State.CANCELLED, "reason": reason}
    values = {**ended, **FREE, "attempt": RUN.c.attempt + 1, "ended_at": NOW}
    live = sa.and_(RUN.c.id.in_(runs), RUN.c.state.in_(sorted(LIVE)))
    await connection.execute(sa.update(RUN).where(live).values(values))
    mine = sa.and_(FILE.c.run.in_(runs), FILE.c.state.in_(sorted(LIVE)))
    idle = sa.select(FILE.c.id).where(mine).with_for_update(skip_locked=True)
    files = list((await connection.execute(idle)).scalars())
    values = {"attempt": FILE.c.attempt + 1, **ended}
    await connection.execute(sa.update(FILE).where(FILE.c.id.in_(files)).values(values))


def _platform(callback: str) -> Origin | str:
    """Which platform an address for reports belongs to."""
    try:
        return origin_of(URL(callback))
    except ValueError:
        return callback
