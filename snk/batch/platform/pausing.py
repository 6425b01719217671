"""Pauses tasks and groups. What is called just now is finished; nothing of it is called after that."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Unknown, note
from snk.batch.platform.tables import NOW, TASK


@dataclass(frozen=True, slots=True)
class Paused:
    """A pause that is over: it was taken back, or replaced by another one."""

    who: str
    note: str
    at: datetime


async def pause(connection: AsyncConnection, name: str, who: str, reason: str) -> Paused | None:
    """Have no consumer called for a task, or for the tasks of a group by its runs, until that is taken back.

    Returns:
        The pause that this one replaces; None if there was none.

    Raises:
        Unknown: there is no such task or group.
    """
    before = await _locked(connection, name)
    values = {"paused_by": who, "paused_note": reason, "paused_at": NOW}
    await connection.execute(sa.update(TASK).where(TASK.c.name == name).values(values))
    await note(connection, who, "paused", name, reason)
    return before


async def resume(connection: AsyncConnection, name: str, who: str, reason: str) -> Paused | None:
    """Take a pause back.

    Returns:
        That pause; None if there was none, so that nothing has changed.

    Raises:
        Unknown: there is no such task or group.
    """
    before = await _locked(connection, name)
    if before:
        values = {"paused_by": None, "paused_note": "", "paused_at": None}
        await connection.execute(sa.update(TASK).where(TASK.c.name == name).values(values))
        await note(connection, who, "resumed", name, reason)
    return before


async def _locked(connection: AsyncConnection, name: str) -> Paused | None:
    """The pause of a task or group, which is locked until the transaction ends."""
    asked = sa.select(TASK.c.paused_by, TASK.c.paused_note, TASK.c.paused_at).where(TASK.c.name == name)
    row = (await connection.execute(asked.with_for_update())).one_or_none()
    if row is None:
        raise Unknown(f"there is no task or group {name!r}")
    return Paused(*row) if row.paused_by is not None else None
