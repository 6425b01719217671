"""However much there is to bring over, the daemon holds a few batches of it.

``--rows 1000000`` and more make the narrow loads larger; what they may need stays the same.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import urlopen

import pytest

from snk.db.server import Server
from snk.pair.sync.prepare import prepare
from tests.kit.daemons import DaemonProcess, FreshDaemonProcess
from tests.kit.databases import Database, insert, until

LOAD_SECONDS = 800.0  # a large load takes a minute where nothing else runs
WIDE_ROWS = 100  # of 1 MiB each, on either side
WIDE_MIB = 400  # with all of them in one batch it is more than 600
NARROW_MIB = 40  # beyond what an idle daemon has; with 100,000 rows in one batch it is 50 to 70
# Drawn and never used: every other id is a hole.
INSERT_AND_SKIP = """
    insert into records (id, uuid, data)
    select nextval('records_id_seq'), gen_random_uuid(), 'x' from generate_series(1, {})
    where nextval('records_id_seq') > 0
"""
INSERT_WIDE = """
    insert into records (uuid, data)
    select gen_random_uuid(), repeat(md5(random()::text), 32768) from generate_series(1, {})
"""


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--rows"))


@asynccontextmanager
async def flowing(pair: Any) -> AsyncIterator[tuple[DaemonProcess, float]]:
    """A daemon whose flows have begun, and the memory it took to come so far."""
    with FreshDaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        yield daemon, daemon.peak_mib


async def until_there(database: Database, rows: int) -> None:
    async def there() -> bool:
        await asyncio.sleep(0.05)  # to count them all is dear
        return bool(await database.value("select count(*) from records") == rows)

    await until(there, f"{rows} rows on the other side", LOAD_SECONDS)


async def both_sides(pair: Any) -> tuple[Database, Database]:
    sides = Database(pair.first), Database(pair.second)
    for label, side in zip(("first", "second"), sides, strict=True):
        await prepare(Server(label, side.dsn), ("records",))
    return sides


@pytest.mark.long
async def test_wide_rows_need_memory_for_a_few_batches_only(pair: Any) -> None:
    first, second = await both_sides(pair)
    for side in (first, second):
        await side.run("alter table records alter data set storage external", INSERT_WIDE.format(WIDE_ROWS))
    async with flowing(pair) as (daemon, _):
        for side in (first, second):
            await until_there(side, 2 * WIDE_ROWS)
        assert daemon.peak_mib < WIDE_MIB
        assert "flow_waiting" not in daemon.log
    assert await first.digest() == await second.digest()


@pytest.mark.long
async def test_a_large_transaction_needs_memory_for_a_few_batches_only(pair: Any, rows: int) -> None:
    first, second = await both_sides(pair)
    async with flowing(pair) as (daemon, before):
        await insert(first, rows)
        await until_there(second, rows)
        assert daemon.peak_mib - before < NARROW_MIB
    assert await first.digest() == await second.digest()


@pytest.mark.long
async def test_holes_without_number_need_bounded_memory_and_delay_nobody(pair: Any, rows: int) -> None:
    first, second = await both_sides(pair)
    async with flowing(pair) as (daemon, before):

        async def holes() -> int:
            flows = json.loads(await asyncio.to_thread(fetched, daemon))["flows"]
            return sum(flow["holes"] for flow in flows)

        async with first.connect() as old:
            await old.exec_driver_sql("insert into records (uuid, data) values (gen_random_uuid(), 'old')")
            await first.run(INSERT_AND_SKIP.format(rows))
            await until_there(second, rows)
            assert await holes() > 1000
            await insert(first, 1)
            await until_there(second, rows + 1)
            await old.commit()
        await until_there(second, rows + 2)

        async def none() -> bool:
            return await holes() == 0

        await until(none, "every hole closed")
        assert daemon.peak_mib - before < NARROW_MIB
    assert await first.digest() == await second.digest()


def fetched(daemon: DaemonProcess) -> str:
    return urlopen(f"{daemon.url}/status").read().decode()
