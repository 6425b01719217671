"""Small tables are told to be equal in a few statements for many of them, and only if they are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event

from snk.db.lender import Lender
from snk.db.server import Server
from snk.pair.sync.link import lender_of
from snk.pair.verify import whole
from snk.pair.verify.throttle import throttles_of
from snk.pair.verify.whole import WholeDigests
from tests.kit.databases import Database

NAMES = [f"w{at}" for at in range(12)]
MAKE = "create table {} (id bigserial primary key, uuid uuid not null unique, n int, data text)"
FILL = """insert into {} (uuid, n, data)
select ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, i, 'text ' || i from generate_series(1, {}) i"""


@asynccontextmanager
async def digests(first: str, second: str) -> AsyncIterator[tuple[WholeDigests, tuple[Lender, Lender]]]:
    doors = lender_of(Server("first", first), 1), lender_of(Server("second", second), 1)
    made = WholeDigests(doors, throttles_of(1.0))
    try:
        yield made, doors
    finally:
        await made.close()
        for door in doors:
            await door.close()


async def told(pair: Any, *tables: str) -> dict[str, int | None]:
    async with digests(pair.first, pair.second) as (wholes, _):
        found = await asyncio.gather(*map(wholes.equal, tables))
        return dict(zip(tables, found, strict=True))


@pytest.fixture
async def tables(pair: Any) -> tuple[Database, Database]:
    """Many small tables, equal on both sides, each with as many rows as its number says."""
    sides = Database(pair.first), Database(pair.second)
    for side in sides:
        await side.run(*map(MAKE.format, NAMES), *(FILL.format(name, at) for at, name in enumerate(NAMES)))
    return sides


@pytest.mark.usefixtures("tables")
async def test_equal_tables_are_told_to_be_equal(pair: Any) -> None:
    assert await told(pair, *NAMES) == {name: at for at, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    "change",
    [
        "delete from w7 where n = 3",
        "insert into w7 (uuid) values (gen_random_uuid())",
        "update w7 set data = null where n = 3",
        "update w7 set data = 'Text 3' where n = 3",
        "update w7 set uuid = gen_random_uuid() where n = 3",
        "update w7 set n = 11 - n where n in (5, 6)",
        "update w7 set data = case n when 5 then 'text 6' else 'text 5' end where n in (5, 6)",
        "alter table w7 add more int",
        "alter table w7 alter n type bigint",
        "alter table w7 drop constraint w7_uuid_key",
    ],
)
@pytest.mark.parametrize("side", [0, 1])
async def test_any_difference_keeps_a_table_from_being_told_equal(
    pair: Any, tables: Any, side: int, change: str
) -> None:
    await tables[side].run(change)
    assert await told(pair, "w6", "w7", "w8") == {"w6": 6, "w7": None, "w8": 8}


async def test_a_change_on_both_sides_is_looked_up_each_time(pair: Any, tables: Any) -> None:
    async with digests(pair.first, pair.second) as (wholes, _):
        assert await wholes.equal("w3") == 3
        for at, side in enumerate(tables):
            await side.run(f"alter table w3 add more int default {at}")
        assert await wholes.equal("w3") is None
        await tables[0].run("update w3 set more = 1")
        assert await wholes.equal("w3") == 3


async def test_large_and_wide_tables_are_left_to_sweeps_of_their_own(
    pair: Any, tables: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in tables:
        await side.run("truncate w1", FILL.format("w0", 1000), FILL.format("w1", 1001))
    assert await told(pair, "w0", "w1", "w2") == {"w0": 1000, "w1": None, "w2": 2}
    monkeypatch.setattr(whole, "MOST_COLUMNS", 3)
    assert await told(pair, "w2") == {"w2": None}


async def test_a_table_that_is_locked_keeps_no_other_from_being_told(pair: Any, tables: Any) -> None:
    async with tables[1].connect() as locking:
        await locking.exec_driver_sql("lock table w2")
        assert await told(pair, "w1", "w2", "w3") == {"w1": 1, "w2": None, "w3": 3}


async def test_what_takes_long_is_left_to_sweeps_of_their_own(
    pair: Any, tables: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "MOST_TIME", "1ms")
    for side in tables:
        await side.run("update w9 set data = repeat('x', 10000000)")
    assert await told(pair, "w9") == {"w9": None}


@pytest.mark.usefixtures("tables")
async def test_one_database_is_not_told_to_be_equal_to_itself(pair: Any) -> None:
    async with digests(pair.first, pair.first) as (wholes, _):
        assert await wholes.equal("w3") is None


@pytest.mark.usefixtures("tables")
async def test_many_tables_take_few_statements(pair: Any) -> None:
    async with digests(pair.first, pair.second) as (wholes, doors):
        statements: list[str] = []
        await wholes.equal("w0")
        engine = doors[0].server.engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        await asyncio.gather(*map(wholes.equal, NAMES[:10]))
        assert len(statements) <= len(NAMES), statements
