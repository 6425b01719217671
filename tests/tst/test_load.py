"""The loop on real servers: what is counted is what is in the tables, whatever happens to the servers."""

import asyncio
from typing import Any

import pytest

from tests.kit.databases import DEADLINE_SECONDS, Database, until
from tst.errors import RowsPresent, Stop, Unavailable
from tst.load import Load, Order
from tst.rows import Batch
from tst.side import Side

COUNT = "select count(*) from records"


@pytest.fixture
def lines() -> list[str]:
    """What the load has said."""
    return []


async def test_a_commit_whose_answer_is_lost_counts_once(
    forgetful: str, pair: Any, tables: tuple[Database, Database], lines: list[str]
) -> None:
    sides = Side("first", forgetful), Side("second", pair.second)
    load = Load(sides, Order(rows=20_500, seed=1), lines.append)
    await load.run()
    for side in sides:
        await side.close()
    counts = {"first": await tables[0].value(COUNT), "second": await tables[1].value(COUNT)}
    assert counts == load.committed
    assert sum(counts.values()) == 20_500
    assert load.in_doubt == 0
    assert len(lines) == 2, lines
    assert lines[1].endswith("is back")


async def test_batch_that_is_there_already_is_refused_whole(pair: Any, tables: tuple[Database, Database]) -> None:
    side = Side("first", pair.first)
    old, new = "0" * 31 + "1", "0" * 31 + "2"
    await side.insert(Batch([old], ["a"]))
    with pytest.raises(RowsPresent, match="--seed"):
        await side.insert(Batch([new, old], ["b", "a"]))
    await side.close()
    assert await tables[0].value(COUNT) == 1


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("alter table records drop column data", "data"),
        ("alter table records add check (data < '0')", "check"),
    ],
)
async def test_what_a_person_must_change_is_said(
    pair: Any, tables: tuple[Database, Database], lines: list[str], statement: str, error: str
) -> None:
    await tables[1].run(statement)
    sides = Side("first", pair.first), Side("second", pair.second)
    load = Load(sides, Order(rows=100_000), lines.append)
    with pytest.raises(Stop, match=f"second .*{error}"):
        await load.run()
    for side in sides:
        await side.close()
    assert await tables[0].value(COUNT) == sum(load.committed.values())
    assert load.in_doubt == 0


async def test_a_terminated_backend_is_a_reason_to_wait(pair: Any, tables: tuple[Database, Database]) -> None:
    side = Side("first", pair.first)
    await side.check()
    await tables[0].run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tst'")
    with pytest.raises(Unavailable):
        await side.check()
    await side.check()
    await side.close()


async def test_a_lock_does_not_hold_up_the_stop_and_leaves_its_batch_in_doubt(
    pair: Any, tables: tuple[Database, Database], lines: list[str]
) -> None:
    sides = Side("first", pair.first), Side("second", pair.second)
    load = Load(sides, Order(), lines.append)
    async with tables[0].connect() as locking, asyncio.timeout(DEADLINE_SECONDS):
        running = asyncio.create_task(load.run())
        await until(lambda: tables[0].value(COUNT), "rows in the first")
        await locking.exec_driver_sql("lock table records in exclusive mode")
        waiting = "select count(*) from pg_stat_activity where application_name = 'tst' and wait_event_type = 'Lock'"
        await until(lambda: tables[0].value(waiting), "the load to wait for the lock")
        load.stop()
        await running
    for side in sides:
        await side.close()
    assert load.in_doubt == 1000
    assert await tables[0].value(COUNT) == load.committed["first"]
