"""What a person does to runs: cancel, skip, run again. To be called in a transaction."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.ending import children, end
from snk.batch.platform.moves import Held, Move, Unknown, hold, move
from snk.batch.platform.tables import FILE, RUN, TASK
from snk.batch.state import LIVE, UNSETTLED, Event, Refused, State, following

_SKIP = "`snk batch skip` settles it"


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
        for child in await children(connection, run, UNSETTLED):
            await _rerun_one(connection, child, Move(Event.RERUN, who, reason), whole=whole)
    await _rerun_one(connection, held, Move(Event.RERUN, who, reason), whole=whole)


def files_again(
    files: Collection[str] | None, defined: Collection[str], completed: Collection[str], *, whole: bool
) -> tuple[str, ...] | None:
    """The files that are run again. Pure.

    Args:
        files: those that the run was to load; None for all.
        defined: those that its task has now: no others can be loaded.
        completed: those that are complete, as its consumer reported.
        whole: whether complete ones are run again, too.

    Returns:
        Their names; None for all that the task has. If all are complete and the run failed nevertheless, all that it
        was to load.
    """
    wanted = sorted(set(defined if files is None else files) & set(defined))
    names = tuple(name for name in wanted if whole or name not in completed) or tuple(wanted)
    return None if files is None and len(names) == len(wanted) else names


@dataclass(frozen=True, slots=True)
class Again:
    """What a rerun of one run loads.

    Attributes:
        asked: the files that the run was to load; None for all.
        completed: those that are complete.
        files: those that are loaded again; None for all that its task has.
    """

    asked: tuple[str, ...] | None
    completed: frozenset[str]
    files: tuple[str, ...] | None


async def again(connection: AsyncConnection, run: int, *, whole: bool) -> Again:
    """What a rerun of a run would load.

    Args:
        connection: any.
        run: the number of a run that is there.
        whole: whether all files are run again.

    Raises:
        Refused: its task has none of its files any more.
    """
    of_run = sa.select(FILE.c.name).where(FILE.c.run == run, FILE.c.state == State.COMPLETED)
    completed = frozenset((await connection.execute(of_run)).scalars())
    defined = sa.select(TASK.c.definition["files"]).where(TASK.c.name == RUN.c.task).scalar_subquery()
    asked = sa.select(RUN.c.files, sa.type_coerce(defined, pg.JSONB).label("defined")).where(RUN.c.id == run)
    row = (await connection.execute(asked)).one()
    files = files_again(row.files, row.defined or (), completed, whole=whole)
    if row.files and files == ():
        lost = ", ".join(row.files)
        raise Refused(f"run {run} cannot be run again: its task has none of its files any more: {lost}", hint=_SKIP)
    return Again(None if row.files is None else tuple(row.files), completed, files)


async def _rerun_one(connection: AsyncConnection, held: Held, done: Move, *, whole: bool) -> None:
    found = await again(connection, held.id, whole=whole)
    await move(connection, held, Move(done.event, done.who, done.reason, found.files))
    kept = () if found.files is None else found.completed - set(found.files)
    await connection.execute(sa.delete(FILE).where(FILE.c.run == held.id, FILE.c.name.not_in(kept)))


async def _end(connection: AsyncConnection, run: int, done: Move, states: AbstractSet[State]) -> None:
    await end(connection, await _held(connection, run), done, states)


async def _held(connection: AsyncConnection, run: int) -> Held:
    held = await hold(connection, run)
    if held is None:
        raise Unknown(f"there is no run {run}")
    return held
