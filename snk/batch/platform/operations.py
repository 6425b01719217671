"""What a person does to runs: cancel, skip, run again. To be called in a transaction."""

from collections.abc import Set as AbstractSet

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Held, Move, Unknown, hold, move
from snk.batch.platform.tables import FILE, RUN
from snk.batch.state import LIVE, UNSETTLED, Event, State, following


async def cancel(connection: AsyncConnection, run: int, who: str, reason: str) -> None:
    """End a run that is under way, and those of its tasks if it is that of a group.

    Raises:
        Unknown: there is no such run.
        Refused: it has ended.
    """
    await _end(connection, run, Move(Event.CANCELLED, who, reason), LIVE)


async def skip(connection: AsyncConnection, run: int, who: str, reason: str) -> None:
    """Decide that a run is not run, or not run again, and those of its tasks if it is that of a group.

    Raises:
        Unknown: there is no such run.
        Refused: it is under way, or there is nothing to decide.
    """
    await _end(connection, run, Move(Event.SKIPPED, who, reason), {State.WAITING, *UNSETTLED})


async def rerun(connection: AsyncConnection, run: int, who: str, reason: str, *, whole: bool = False) -> None:
    """Run what failed again: the files of a run that did not complete, or the tasks of a group.

    Args:
        connection: with a transaction.
        run: its number.
        who: a person.
        reason: why, for the audit.
        whole: whether all files are run again.

    Raises:
        Unknown: there is no such run.
        Refused: it did not fail.
    """
    parent = (await connection.execute(sa.select(RUN.c.parent).where(RUN.c.id == run))).scalar_one_or_none()
    above = await hold(connection, parent) if parent is not None else None  # first: see `turns.tend`
    held = await _held(connection, run)
    following(held.state, Event.RERUN)
    if above and above.state in UNSETTLED:
        await move(connection, above, Move(Event.RERUN, who, f"run {run} of it is run again"))
    if held.mode is not None:
        for child in await _children(connection, run, UNSETTLED):
            await _rerun_one(connection, child, Move(Event.RERUN, who, reason), whole=whole)
    await _rerun_one(connection, held, Move(Event.RERUN, who, reason), whole=whole)


async def _rerun_one(connection: AsyncConnection, held: Held, done: Move, *, whole: bool) -> None:
    again = sa.select(FILE.c.name).where(FILE.c.run == held.id, FILE.c.state != State.COMPLETED)
    names = tuple((await connection.execute(again.order_by(FILE.c.name))).scalars())
    files = names if names and not whole else None
    await move(connection, held, Move(done.event, done.who, done.reason, files))
    if files is None:
        await connection.execute(sa.delete(FILE).where(FILE.c.run == held.id))
    else:
        values = {"state": State.WAITING, "reason": ""}
        await connection.execute(sa.update(FILE).where(FILE.c.run == held.id, FILE.c.name.in_(names)).values(values))


async def _end(connection: AsyncConnection, run: int, done: Move, states: AbstractSet[State]) -> None:
    held = await _held(connection, run)
    await move(connection, held, done)
    if held.mode is not None:
        for child in await _children(connection, run, states):
            await move(connection, child, done)


async def _held(connection: AsyncConnection, run: int) -> Held:
    held = await hold(connection, run)
    if held is None:
        raise Unknown(f"there is no run {run}")
    return held


async def _children(connection: AsyncConnection, run: int, states: AbstractSet[State]) -> list[Held]:
    """The runs of a group's tasks that are in one of these states, each of them held."""
    wanted = sa.select(RUN.c.id).where(RUN.c.parent == run).order_by(RUN.c.id)
    each = [await hold(connection, child) for child in (await connection.execute(wanted)).scalars().all()]
    return [held for held in each if held and held.state in states]
