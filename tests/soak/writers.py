"""The hostile writers of `tests.kit.adversary`, and what only shows in the long run.

What a transaction does follows from the seed and its name, so the same seed makes the same transactions; which of them
are under way at the same time does not.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from tests.kit.adversary import Writer
from tests.kit.databases import Database
from tests.soak.books import AWAY, Books

WEIGHTS = {
    "plain": 4,
    "late": 4,
    "rollback": 2,
    "savepoints": 3,
    "copy": 4,
    "drawn": 2,
    "prepared": 3,
    "single": 6,
    "hoarded": 2,
    "large": 0.3,
}
LARGE_ROWS = 10_000
LAZY = 0.7
MOST_REST_SECONDS = 20.0
Rows = list[tuple[UUID, str]]


class Hostile(Writer):
    """One hostile client of one side.

    Args:
        side: its database.
        at: 0 for the first side, 1 for the second.
        books: where it enters what it commits.
        name: of this writer, part of the data of its rows.
        tables: that it writes to, one in each transaction.
        rows_per_second: it rests after each transaction so as not to be faster.
        hoards: whether it uses ids of earlier transactions, too.
        extras: the columns that were added to its table, as of now.
    """

    def __init__(
        self,
        side: Database,
        at: int,
        books: Books,
        *,
        name: str,
        tables: Sequence[str],
        rows_per_second: float,
        hoards: bool,
        extras: Callable[[], tuple[str, ...]],
    ) -> None:
        self._side, self._at, self._accounts = side, at, books
        self._name, self._tables = name, tables
        self._rate = rows_per_second
        self._weights = {kind: weight for kind, weight in WEIGHTS.items() if hoards or kind != "hoarded"}
        self._extras = extras
        self._counter = 0
        self._hoard: list[int] = []
        self._left_prepared = ""
        self.errors = 0

    async def write(self, until: asyncio.Event) -> None:
        """Write until told to stop, through as many connections as it takes."""
        while not until.is_set():
            try:
                async with self._side.connect() as connection:
                    await self._end_prepared(connection)
                    while not until.is_set():
                        rows = await self._one(connection)
                        await self._rest(rows, until)
            except AWAY:
                self.errors += 1
                self._hoard.clear()
                await asyncio.sleep(0.1)

    async def _one(self, connection: AsyncConnection) -> int:
        self._counter += 1
        name = f"{self._name}.{self._counter}"
        self._random = random.Random(f"{self._accounts.seed} {name}")
        self._table = self._random.choice(self._tables) if len(self._tables) > 1 else self._tables[0]
        kind = self._random.choices(list(self._weights), list(self._weights.values()))[0]
        lazy = kind != "prepared" and self._random.random() < LAZY
        count = {"single": 1, "large": LARGE_ROWS}.get(kind, self._random.randint(1, 200))
        rows = [(self._accounts.uuid_of(f"{name}.{number}"), f"{name}.{number}") for number in range(count)]
        if lazy:
            await connection.exec_driver_sql("set local synchronous_commit = off")
        kept = await getattr(self, f"_{kind}")(connection, rows)
        if not kept:
            await connection.rollback()
            return count
        crashes = self._accounts.risks[self._at].crashes
        deed = self._accounts.begin(name, self._table, kind, _numbers(kept), lazy=lazy)
        await connection.commit()
        self._accounts.answered(deed, self._at, crashes)
        return count

    async def _rest(self, rows: int, until: asyncio.Event) -> None:
        seconds = min(rows / self._rate, MOST_REST_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                await until.wait()
        except TimeoutError:
            return

    async def _insert(self, connection: AsyncConnection, rows: Rows, ids: str = "default") -> None:
        extras = self._extras()
        names = "".join(f", {extra}" for extra in extras)
        values = ",".join(f"({ids}, '{uuid}', '{data}'" + f", '{data}'" * len(extras) + ")" for uuid, data in rows)
        await connection.exec_driver_sql(f"insert into {self._table} (id, uuid, data{names}) values {values}")

    async def _copy(self, connection: AsyncConnection, rows: Rows) -> Rows:
        await connection.exec_driver_sql("select 1")  # begins the transaction
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        extras = self._extras()
        records = [(uuid, data, *[data] * len(extras)) for uuid, data in rows]
        await driver.copy_records_to_table(self._table, records=records, columns=["uuid", "data", *extras])
        await self._dawdle()
        return rows

    _large = _copy

    async def _drawn(self, connection: AsyncConnection, rows: Rows) -> Rows:
        """Draw the ids first, dawdle, then use them from the last to the first."""
        ids = await self._draw(connection, len(rows))
        await self._dawdle()
        for number, row in zip(reversed(ids), rows, strict=True):
            await self._insert(connection, [row], str(number))
        return rows

    async def _hoarded(self, connection: AsyncConnection, rows: Rows) -> Rows:
        """Use ids that an earlier transaction drew; only the ledger and the sweep can find such rows."""
        rows = rows[:20]
        if len(self._hoard) < len(rows):
            self._hoard += await self._draw(connection, 60)
            return []
        for row in rows:
            await self._insert(connection, [row], str(self._hoard.pop(0)))
        await self._dawdle()
        return rows

    async def _draw(self, connection: AsyncConnection, count: int) -> list[int]:
        draw = f"select nextval('{self._table}_id_seq') from generate_series(1, {count})"
        return list((await connection.exec_driver_sql(draw)).scalars())

    async def _prepared(self, connection: AsyncConnection, rows: Rows) -> Rows:
        """Two-phase commit: the transaction lives on without a session."""
        gid = f"{self._name}-{self._counter}"
        await self._insert(connection, rows)
        self._left_prepared = gid
        await connection.exec_driver_sql(f"prepare transaction '{gid}'")
        await connection.rollback()
        await self._dawdle()
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        if self._random.random() < 0.3:
            await driver.execute(f"rollback prepared '{gid}'")
        else:
            name = f"{self._name}.{self._counter}"
            deed = self._accounts.begin(name, self._table, "prepared", _numbers(rows), lazy=False)
            await driver.execute(f"commit prepared '{gid}'")
            self._accounts.answered(deed, self._at, 0)
        self._left_prepared = ""
        return []

    async def _end_prepared(self, connection: AsyncConnection) -> None:
        """Roll back what a crash left prepared: it would hold its locks for ever."""
        gid = self._left_prepared
        if not gid:
            return
        query = f"select count(*) from pg_prepared_xacts where gid = '{gid}'"
        there = (await connection.exec_driver_sql(query)).scalar_one()
        await connection.rollback()
        if there:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            await driver.execute(f"rollback prepared '{gid}'")
        self._left_prepared = ""


def _numbers(rows: Rows) -> list[int]:
    return [int(data.rsplit(".", 1)[1]) for _, data in rows]
