"""Pauses tasks and groups. What is called just now is finished; nothing of it is called after that."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Unknown, note
from snk.batch.platform.tables import NOW, TASK


async def pause(connection: AsyncConnection, name: str, who: str, reason: str) -> None:
    """Have no consumer called for a task, or for the tasks of a group by its runs, until that is taken back.

    Raises:
        Unknown: there is no such task or group.
    """
    await _set(connection, name, {"paused_by": who, "paused_note": reason, "paused_at": NOW})
    await note(connection, who, "paused", name, reason)


async def resume(connection: AsyncConnection, name: str, who: str, reason: str) -> None:
    """Take a pause back; nothing happens if there is none.

    Raises:
        Unknown: there is no such task or group.
    """
    await _set(connection, name, {"paused_by": None, "paused_note": "", "paused_at": None})
    await note(connection, who, "resumed", name, reason)


async def _set(connection: AsyncConnection, name: str, values: dict[str, object]) -> None:
    found = await connection.execute(sa.update(TASK).where(TASK.c.name == name).values(values))
    if not found.rowcount:
        raise Unknown(f"there is no task or group {name!r}")
