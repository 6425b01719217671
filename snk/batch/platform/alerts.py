"""Raises alerts, in the transaction that changes what they are about, together with what is to be sent of them.

Of one kind and subject one alert is open at most: the database refuses a second one. A cause that is found again while
its alert is open changes what that says, and nothing is sent again. Which channels are told is decided here; that is
done by `snk.batch.platform.sender`, later and as often as needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.channels import Kind
from snk.batch.platform.tables import ALERT, CHANNEL, IS_OPEN, NOTICE, NOW
from snk.batch.state import State

PLATFORM = "platform"
"""The subject of an alert that is about no task."""
_COLUMNS = (ALERT.c.kind, ALERT.c.subject, ALERT.c.text, ALERT.c.task, ALERT.c.run)
_KINDS = {State.FAILED: Kind.FAILED, State.RECON_FAILED: Kind.RECON_FAILED}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an alert is raised.

    Attributes:
        subject: what it is about: ``run 17``, ``task prices`` or ``platform``.
        text: what was found, in a sentence.
        again: whether it is about a run that was run again: an alert of the time before is resolved, so that this one
            is heard.
    """

    kind: Kind
    subject: str
    text: str
    task: str | None = None
    run: int | None = None
    again: bool = False


async def found(connection: AsyncConnection, cause: Cause) -> None:
    """Raise an alert unless one is open; to be called in a transaction."""
    await found_all(connection, [cause])


async def found_all(connection: AsyncConnection, causes: Sequence[Cause]) -> None:
    """Raise an alert for each cause unless one is open; to be called in a transaction that holds their runs."""
    if again := [cause.subject for cause in causes if cause.again]:
        mine = sa.and_(ALERT.c.kind.in_(list(_KINDS.values())), ALERT.c.subject.in_(again))
        await resolve(connection, mine, sa.literal("it was run again, and failed again"))
    given = {(cause.kind, cause.subject): cause for cause in causes}
    if given:
        # In order, so that no two transactions wait for each other.
        rows = [(*key, given[key].text, given[key].task, given[key].run) for key in sorted(given)]
        values = sa.values(*(sa.column(each.name, each.type) for each in _COLUMNS), name="causes").data(rows)
        typed = [sa.cast(each, each.type) for each in values.c]  # a column of nulls has no type of its own
        await connection.execute(raising(sa.select(*typed)))


def raising(causes: sa.Select[tuple[object, ...]]) -> sa.Insert:
    """The statement that raises an alert for each cause, and writes what is to be sent of those that are new.

    Args:
        causes: kind, subject, text, task and run of each; no two of one kind and subject.
    """
    insert = pg.insert(ALERT).from_select(_COLUMNS, causes)
    again = {"text": insert.excluded.text, "seen_at": NOW, "times": ALERT.c.times + 1}
    upsert = insert.on_conflict_do_update(index_elements=["kind", "subject"], index_where=IS_OPEN, set_=again)
    raised = upsert.returning(ALERT.c.id, ALERT.c.kind, ALERT.c.times).cte("raised")
    told = sa.or_(CHANNEL.c.kinds.is_(None), CHANNEL.c.kinds.has_key(raised.c.kind))
    new = sa.select(raised.c.id, CHANNEL.c.name, sa.literal("raised")).where(raised.c.times == 1, told)
    return sa.insert(NOTICE).from_select((NOTICE.c.alert, NOTICE.c.channel, NOTICE.c.event), new)


async def resolve(connection: AsyncConnection, gone: sa.ColumnElement[bool], why: sa.ColumnElement[str]) -> None:
    """Resolve open alerts, and write that to each channel that was told of them; to be called in a transaction.

    Args:
        connection: with a transaction.
        gone: which ones.
        why: their resolution.
    """
    done = sa.update(ALERT).where(IS_OPEN, gone).values(resolved_at=NOW, resolution=why).returning(ALERT.c.id)
    resolved = done.cte("resolved")
    told = sa.select(NOTICE.c.alert, NOTICE.c.channel, sa.literal("resolved")).where(
        NOTICE.c.alert == resolved.c.id, NOTICE.c.event == "raised"
    )
    columns = (NOTICE.c.alert, NOTICE.c.channel, NOTICE.c.event)
    await connection.execute(sa.insert(NOTICE).from_select(columns, told))


def of_run(run: int, task: str, state: State, reason: str, *, again: bool) -> Cause:
    """Why an alert is raised about a run that is ``FAILED`` or ``RECON_FAILED``."""
    text = f"run {run} of {task} is {state}" + (f": {reason}" if reason else "")
    return Cause(_KINDS[state], f"run {run}", text, task, run, again)
