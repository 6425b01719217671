"""Messages of other systems: each starts all tasks and groups that wait for it, once for each key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Unknown
from snk.batch.platform.tables import HAS_MESSAGE, TASK
from snk.batch.platform.triggering import Trigger, Triggered, trigger_all


@dataclass(frozen=True, slots=True)
class Message:
    """A message.

    Attributes:
        name: what tasks and groups wait for.
        key: what identifies it.
        source: by which way it came.
        who: for the audit.
        payload: passed on to the consumers.
    """

    name: str
    key: str
    source: str
    who: str
    payload: Mapping[str, Any]


async def deliver(connection: AsyncConnection, message: Message) -> dict[str, Triggered]:
    """Start what waits for a message, in the caller's transaction; return what came of it by name.

    Raises:
        Unknown: nothing waits for it.
        Differs: the key was used before, with another payload.
        Reserved: the key is one of the calendar's.
        NotUnderstood: a definition is of a newer version.
    """
    waiting = sa.select(TASK.c.name).where(TASK.c.message == message.name, HAS_MESSAGE).order_by(TASK.c.name)
    names = (await connection.execute(waiting)).scalars().all()
    if not names:
        raise Unknown(f"no task and no group waits for the message {message.name!r}")
    given = [Trigger(name, message.key, message.source, message.who, message.payload) for name in names]
    return dict(zip(names, await trigger_all(connection, given), strict=True))
