"""Who works on a run: one consumer at a time, for as long as it says so again and again.

Claiming a run increments its ``attempt`` and copies it to the run's files. A consumer that held the run before finds
another attempt in the files and changes nothing, however late it notices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.consumer.tables import FILE, NOW, RUN
from snk.db.functions import interval
from snk.errors import SnkError

FREE: Mapping[str, None] = {"working_until": None, "holder": None}
"""What stands in a run that nobody works on."""


class Overtaken(SnkError):  # noqa: N818 - the caller stops, and nothing is wrong
    """Another consumer works on the run, or it was begun again."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A run that this consumer works on.

    Attributes:
        number: the platform's number of the run, for people.
        attempt: what every change has to say.
    """

    run: int
    number: int
    attempt: int


async def take_hold(connection: AsyncConnection, run: int, holder: str, seconds: float) -> Hold | None:
    """Take hold of a run that is locked; None if somebody works on it."""
    free = sa.or_(RUN.c.working_until.is_(None), RUN.c.working_until <= NOW)
    values = {"attempt": RUN.c.attempt + 1, "holder": holder, "working_until": NOW + interval(seconds)}
    taken = sa.update(RUN).where(RUN.c.id == run, free).values(values)
    row = (await connection.execute(taken.returning(RUN.c.number, RUN.c.attempt))).one_or_none()
    if row is None:
        return None
    await connection.execute(sa.update(FILE).where(FILE.c.run == run).values(attempt=row.attempt))
    return Hold(run, row.number, row.attempt)


async def renew(connection: AsyncConnection, holds: list[Hold], seconds: float) -> set[int]:
    """Hold runs for longer, but for those that were released meanwhile; return those that nobody else has claimed."""
    mine = sa.tuple_(RUN.c.id, RUN.c.attempt).in_([(each.run, each.attempt) for each in holds])
    longer = sa.update(RUN).where(mine, RUN.c.working_until.is_not(None)).values(working_until=NOW + interval(seconds))
    await connection.execute(longer)
    return set((await connection.execute(sa.select(RUN.c.id).where(mine))).scalars())


async def release(connection: AsyncConnection, hold: Hold) -> None:
    """Release a run, so that the next consumer to be called can claim it."""
    mine = sa.and_(RUN.c.id == hold.run, RUN.c.attempt == hold.attempt)
    await connection.execute(sa.update(RUN).where(mine).values(FREE))


def committing(run: int) -> str:
    """The name of the lock that is shared by those who are about to commit work on a run, and held by who ends it."""
    return f"snk batch consumer run {run}"


async def lock(connection: AsyncConnection, hold: Hold) -> None:
    """Lock a run until the transaction ends.

    Raises:
        Overtaken: it is not held any more.
    """
    asked = sa.select(RUN.c.id).where(RUN.c.id == hold.run, RUN.c.attempt == hold.attempt).with_for_update()
    if (await connection.execute(asked)).scalar_one_or_none() is None:
        raise Overtaken(f"run {hold.number} is worked on by others")
