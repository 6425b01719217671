"""The nodes of the platform, as far as the tables tell: each says again and again that it is alive."""

from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.tables import NODE, NOW
from snk.db.functions import interval

FRESH_SECONDS = 15.0
ALIVE = NODE.c.seen_at > NOW - interval(FRESH_SECONDS)
"""A node that was not seen for so long counts as dead."""


async def say(connection: AsyncConnection, name: str, address: str) -> None:
    """Note that a node is alive."""
    insert = pg.insert(NODE).values(name=name, address=address)
    again = insert.on_conflict_do_update(index_elements=[NODE.c.name], set_={"address": address, "seen_at": NOW})
    await connection.execute(again)


async def leave(connection: AsyncConnection, name: str) -> None:
    """Note that a node has ended in good order."""
    await connection.execute(NODE.delete().where(NODE.c.name == name))
