"""Writers that do everything that makes a poller lose rows, and keep exact books of what they committed."""

import asyncio
import random
import time
from collections import Counter
from uuid import UUID

from asyncpg import InterfaceError, PostgresError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.kit.databases import Database

KINDS = ("plain", "late", "rollback", "savepoints", "copy", "drawn", "prepared", "single")


class Books:
    """What was committed, exactly. A batch whose COMMIT was not answered is in doubt until it is looked up."""

    def __init__(self) -> None:
        self.committed: Counter[str] = Counter()
        self.doubtful: list[list[tuple[UUID, str]]] = []
        self.transactions: Counter[str] = Counter()

    def enter(self, rows: list[tuple[UUID, str]], kind: str) -> None:
        self.transactions[kind] += 1
        self.committed.update(f"({data},{uuid})" for uuid, data in rows)

    async def resolve(self, sides: tuple[Database, ...]) -> None:
        """Look up what became of the batches in doubt: each is in whole or not at all."""
        for rows in self.doubtful:
            wanted = ",".join(f"'{uuid}'" for uuid, _ in rows)
            found = max([await s.value(f"select count(*) from records where uuid in ({wanted})") for s in sides])
            assert found in (0, len(rows)), "a transaction was torn"
            if found:
                self.enter(rows, "doubtful")
        self.doubtful.clear()


class Writer:
    """One hostile client of one side."""

    def __init__(self, side: Database, books: Books, seed: int) -> None:
        self._side = side
        self._books = books
        self._random = random.Random(seed)
        self._counter = 0

    async def run(self, until: float) -> None:
        """Write until the monotonic time is reached, through as many connections as it takes."""
        while time.monotonic() < until:
            try:
                async with self._side.connect() as connection:
                    while time.monotonic() < until:
                        await self._transact(connection)
            except (DBAPIError, OSError, PostgresError, InterfaceError):
                await asyncio.sleep(0.05)

    async def _transact(self, connection: AsyncConnection) -> None:
        kind = self._random.choice(KINDS)
        rows = self._rows(1 if kind == "single" else self._random.randint(1, 200))
        rows = await getattr(self, f"_{kind}")(connection, rows)
        if not rows:
            await connection.rollback()
            return
        self._books.doubtful.append(rows)
        await connection.commit()
        self._books.doubtful.remove(rows)
        self._books.enter(rows, kind)

    def _rows(self, count: int) -> list[tuple[UUID, str]]:
        self._counter += 1
        made = range(count)
        return [(UUID(int=self._random.getrandbits(128)), f"{self._counter}.{at}") for at in made]

    async def _insert(self, connection: AsyncConnection, rows: list[tuple[UUID, str]], ids: str = "default") -> None:
        values = ",".join(f"({ids}, '{uuid}', '{data}')" for uuid, data in rows)
        await connection.exec_driver_sql(f"insert into records (id, uuid, data) values {values}")

    async def _dawdle(self) -> None:
        await asyncio.sleep(self._random.choice((0.0, 0.001, 0.01, 0.1, 0.4)))

    async def _plain(self, connection: AsyncConnection, rows: list[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
        await self._insert(connection, rows)
        return rows

    _single = _plain

    async def _late(self, connection: AsyncConnection, rows: list[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
        for part in (rows[::3], rows[1::3], rows[2::3]):
            if part:
                await self._insert(connection, part)
                await self._dawdle()
        return rows

    async def _rollback(self, connection: AsyncConnection, rows: list[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
        await self._insert(connection, rows)
        await self._dawdle()
        return []

    async def _savepoints(self, connection: AsyncConnection, rows: list[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
        kept: list[tuple[UUID, str]] = []
        for at in range(0, len(rows), 20):
            await connection.exec_driver_sql("savepoint s")
            await self._insert(connection, rows[at : at + 20])
            if self._random.random() < 0.5:
                await connection.exec_driver_sql("rollback to s")
            else:
                kept += rows[at : at + 20]
            await self._dawdle()
        return kept

    async def _copy(self, connection: AsyncConnection, rows: list[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
        await connection.exec_driver_sql("select 1")  # begins the transaction
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.copy_records_to_table("records", records=rows, columns=["uuid", "data"])
        await self._dawdle()
        return rows

    async def _drawn(self, connection: AsyncConnection, rows: list[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
        """Draw the ids first, dawdle, then use them from the last to the first."""
        draw = f"select nextval('records_id_seq') from generate_series(1, {len(rows)})"
        ids = list((await connection.exec_driver_sql(draw)).scalars())
        await self._dawdle()
        for number, row in zip(reversed(ids), rows, strict=True):
            await self._insert(connection, [row], str(number))
        return rows

    async def _prepared(self, connection: AsyncConnection, rows: list[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
        """Two-phase commit: the transaction lives on without a session. COMMIT PREPARED wants none open."""
        name = f"p{self._random.getrandbits(64)}"
        await self._insert(connection, rows)
        await connection.exec_driver_sql(f"prepare transaction '{name}'")
        await connection.rollback()
        await self._dawdle()
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        if self._random.random() < 0.3:
            await driver.execute(f"rollback prepared '{name}'")
        else:
            self._books.doubtful.append(rows)
            await driver.execute(f"commit prepared '{name}'")
            self._books.doubtful.remove(rows)
            self._books.enter(rows, "prepared")
        return []


async def attack(first: Database, second: Database, seconds: float, seed: int, writers: int = 5) -> Books:
    """Let so many writers loose on each side, for so long.

    Returns:
        The books, with nothing in doubt.
    """
    books = Books()
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for at in range(writers):
            for side in (first, second):
                group.create_task(
                    Writer(side, books, random.Random(f"{seed} {side.dsn} {at}").getrandbits(64)).run(until)
                )
    for side in (first, second):
        await end_prepared(side)
    await books.resolve((first, second))
    return books


async def end_prepared(side: Database) -> None:
    """Roll back what a crash left prepared."""
    async with side.connect() as connection:
        query = "select gid from pg_prepared_xacts where database = current_database()"
        names = list((await connection.exec_driver_sql(query)).scalars())
        await connection.rollback()
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        for name in names:
            await driver.execute(f"rollback prepared '{name}'")
