"""Advisory locks: held in one database as long as a connection lives, and visible to every session there.

The query is plain SQL, as in `snk.db.catalog`.
"""

import hashlib
import secrets

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

ADVISORY_KEYS = 2**62

# pg_locks shows a 64-bit key as two halves.
_ADVISORY = sa.text("""
    select (l.classid::bigint << 32) | l.objid::bigint
    from pg_locks l
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
""")


def lock_key() -> int:
    """A random key for an advisory lock that nobody else uses."""
    return secrets.randbelow(ADVISORY_KEYS)


def key_of(name: str) -> int:
    """The key of the advisory lock with this name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % ADVISORY_KEYS


def try_lock(key: int) -> sa.ColumnElement[bool]:
    """Take an advisory lock and hold it as long as the connection lives, unless another session holds it."""
    return sa.func.pg_try_advisory_lock(sa.literal(key, sa.BigInteger))


def try_lock_in_transaction(key: int | sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Take an advisory lock until the transaction ends, unless another session holds it."""
    given = sa.literal(key, sa.BigInteger) if isinstance(key, int) else key
    return sa.func.pg_try_advisory_xact_lock(given)


def lock(key: int) -> sa.ColumnElement[None]:
    """Wait for an advisory lock and hold it as long as the connection lives."""
    return sa.func.pg_advisory_lock(sa.literal(key, sa.BigInteger))


def unlock(key: int) -> sa.ColumnElement[bool]:
    """Let go of an advisory lock that this connection holds."""
    return sa.func.pg_advisory_unlock(sa.literal(key, sa.BigInteger))


async def lock_in_transaction(connection: AsyncConnection, name: str) -> None:
    """Wait for the advisory lock with this name, and hold it until the transaction ends."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.literal(key_of(name), sa.BigInteger))))


async def share_in_transaction(connection: AsyncConnection, name: str) -> None:
    """The same, together with others that share it: it is waited for until nobody holds it alone."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(sa.literal(key_of(name), sa.BigInteger))))


async def held(connection: AsyncConnection) -> frozenset[int]:
    """The keys of the advisory locks that any session holds in this database."""
    return frozenset((await connection.execute(_ADVISORY)).scalars())
