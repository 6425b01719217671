"""The nodes of the platform, as far as the tables tell: each says again and again that it is alive."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.tables import NODE, NOW
from snk.db.functions import interval

FRESH_SECONDS = 15.0
SAY_SECONDS = FRESH_SECONDS / 3
"""How often a node has to say that it is alive, however long its leases are."""
ALIVE = sa.and_(NODE.c.left_at.is_(None), NODE.c.seen_at > NOW - interval(FRESH_SECONDS))
"""A node that was not seen for so long counts as dead."""


async def say(connection: AsyncConnection, name: str, address: str, *, new: bool = False) -> None:
    """Note that a node is alive.

    Args:
        connection: any.
        name: of the node.
        address: where it is reached.
        new: whether it starts just now.
    """
    insert = pg.insert(NODE).values(name=name, address=address)
    values = {"address": address, "seen_at": NOW, "left_at": None, **({"started_at": NOW} if new else {})}
    await connection.execute(insert.on_conflict_do_update(index_elements=[NODE.c.name], set_=values))


async def leave(connection: AsyncConnection, name: str) -> None:
    """Note that a node has ended in good order. Its row stays: it tells when a node was last there."""
    await connection.execute(sa.update(NODE).where(NODE.c.name == name).values(seen_at=NOW, left_at=NOW))
