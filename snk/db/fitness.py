"""Whether two servers can be synced, or compared, at all: no standby, and not one database twice."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.catalog import ServerFacts
from snk.db.engine import Server
from snk.db.functions import lock, lock_key
from snk.db.shape import Shape
from snk.errors import PairUnfit


async def look_at(server: Server, table: str) -> tuple[ServerFacts, Shape]:
    """Ask a server about itself and one table, in a transaction of its own."""
    async with server.begin() as connection:
        async with server.answering(connection):
            facts = await catalog.server_facts(connection)
        if facts.standby:
            raise PairUnfit(f"{server.address} is a standby", hint="Only a primary can be tailed and written")
        async with server.answering(connection):
            return facts, await catalog.table_shape(connection, table, server.label)


async def one_and_the_same(first: Server, second: Server) -> PairUnfit | None:
    """What to say where both settings lead to one database, which would always be found equal to itself."""
    async with first.connect() as one, second.connect() as other:
        return one_database(first, second) if await same_database(one, other) else None


def one_database(first: Server, second: Server) -> PairUnfit:
    """What to say of it."""
    hint = "FIRST_DB_* and SECOND_DB_* are to lead to two databases"
    return PairUnfit(f"{first.address} and {second.address} are one and the same database", hint=hint)


async def same_database(one: AsyncConnection, other: AsyncConnection) -> bool:
    """An advisory lock of one database is held against everybody in it, and against nobody elsewhere.

    System identifiers would not tell: a copy of a cluster keeps that of the original. The lock is held as long as the
    connection lives.
    """
    key = lock_key()
    await one.execute(sa.select(lock(key)))
    again = sa.func.pg_try_advisory_lock(sa.literal(key, sa.BigInteger))
    return not (await other.execute(sa.select(again))).scalar_one()
