"""What tests do to databases by hand, and how they look at them: never through the code under test."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

# For what never comes: no machine is so busy that anything else takes so long.
DEADLINE_SECONDS = 200.0
# Both sides are looked at through the same glasses, whatever the databases are set to.
SETTINGS = {
    "bytea_output": "hex",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "3",
    "intervalstyle": "postgres",
    "timezone": "UTC",
}


class Database:
    """One database of a pair, for SQL by hand."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            poolclass=NullPool,
            connect_args={"dsn": dsn, "statement_cache_size": 0, "server_settings": SETTINGS},
        )

    async def run(self, *statements: str) -> None:
        """Run statements, each committed."""
        async with self.connect() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
                await connection.commit()

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        async with self.connect() as connection:
            return await rows_of(connection, query)

    async def value(self, query: str) -> Any:
        """The one value of a query."""
        return (await self.rows(query))[0][0]

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection to hold open."""
        async with self._engine.connect() as connection:
            yield connection

    async def digest(self) -> Any:
        """What the rows hold but for their ids, where there are too many to look at each."""
        return (await self.rows("select count(*), sum(hash_record_extended(row(uuid, data), 0)) from records"))[0]

    async def contents(self, table: str = "records") -> Counter[str]:
        """Every row but for its id, as PostgreSQL writes it, and how often it is there."""
        async with self.connect() as connection:
            return await contents_of(connection, table)


async def rows_of(connection: AsyncConnection, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query on a connection."""
    return [tuple(row) for row in await connection.exec_driver_sql(query)]


async def contents_of(connection: AsyncConnection, table: str) -> Counter[str]:
    """Every row of a table but for its id, as PostgreSQL writes it, and how often it is there."""
    literal = table.replace("'", "''")
    columns = await rows_of(
        connection,
        "select quote_ident(attname) from pg_attribute"
        f" where attrelid = '{literal}'::regclass and attnum > 0 and not attisdropped and attname <> 'id'"
        " order by attname",
    )
    names = ", ".join(name for (name,) in columns)
    return Counter(row for (row,) in await rows_of(connection, f"select ({names})::text from {table}"))


async def insert(database: Database, count: int = 1, table: str = "records") -> None:
    """Insert so many rows that nobody has seen before."""
    await database.run(
        f"insert into {table} (uuid, data)"
        f" select gen_random_uuid(), md5(random()::text) from generate_series(1, {count})"
    )


async def until(condition: Callable[[], Awaitable[Any]], what: str, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition; the deadline is for the case that it never comes.

    Half of the time is left to what is waited for: a look opens connections, which costs more than it seems.
    """
    give_up = time.monotonic() + deadline_seconds
    while True:
        began = time.monotonic()
        if await condition():
            return
        assert time.monotonic() < give_up, f"waited in vain: {what}"
        await asyncio.sleep(min(0.5, max(0.02, time.monotonic() - began)))


async def until_equal(
    first: Database,
    second: Database,
    rows: int | None = None,
    table: str = "records",
    deadline_seconds: float = DEADLINE_SECONDS,
) -> None:
    """Wait until both sides hold the same rows, and so many of them."""

    async def equal() -> bool:
        async with first.connect() as one, second.connect() as other:
            counts = [(await rows_of(side, f"select count(*) from {table}"))[0][0] for side in (one, other)]
            if counts[0] != counts[1] or rows not in (None, counts[0]):
                return False
            return await contents_of(one, table) == await contents_of(other, table)

    await until(equal, f"{table} equal on both sides with {rows} rows", deadline_seconds)
