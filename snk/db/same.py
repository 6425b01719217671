"""Whether two settings lead to one database, which would always be found equal to itself."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.engine import Server
from snk.db.functions import lock, lock_key
from snk.errors import PairUnfit


async def one_and_the_same(first: Server, second: Server) -> PairUnfit | None:
    """What to say where both servers are one database."""
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
