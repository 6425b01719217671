"""A crash takes back what was seen and not yet durable, and its ids are drawn again by other rows: none is missed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snk.embedded.postgres import PostgresServer
from snk.pair.servers import EmbeddedPair, embedded_pair
from tests.conftest import OPTIONS, PairUrls, names
from tests.kit.daemons import DaemonProcess
from tests.kit.databases import Database, insert, until, until_equal

CRASHES = 3
# The WAL writer sleeps, so nothing that is committed asynchronously reaches the disk but by chance.
ASLEEP = {**OPTIONS, "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}
LAZILY = "set synchronous_commit = off"


@pytest.fixture
def sleepy(folder: Path) -> Iterator[EmbeddedPair]:
    """Servers whose WAL writers sleep."""
    with embedded_pair(folder / next(names), user="postgres", password="postgres", options=ASLEEP) as pair:
        yield pair


async def insert_lazily(side: Database, count: int) -> None:
    """An application that does not wait for the disk."""
    async with side.connect() as connection:
        await connection.exec_driver_sql(LAZILY)
        await connection.exec_driver_sql(
            f"insert into records (uuid, data) select gen_random_uuid(), 'lazy' from generate_series(1, {count})"
        )
        await connection.commit()


async def crash(server: PostgresServer) -> None:
    await asyncio.to_thread(server.stop, "immediate")
    server.start()


@pytest.mark.long
async def test_rows_on_ids_drawn_again_after_a_crash_are_not_missed(sleepy: EmbeddedPair) -> None:
    pair = PairUrls(sleepy.first.dsn, sleepy.second.dsn, sleepy.redis.dsn)
    first, second = Database(pair.first), Database(pair.second)
    reused = 0
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        for turn in range(CRASHES):
            # SNK reads rows of first that are not durable, and writes into first rows of its own that are not either.
            before = int(await second.value("select count(*) from records"))
            await insert(second, 300)
            await insert_lazily(first, 200)
            await until(lambda before=before: has(second, before + 500), "all rows in second")  # type: ignore[misc]
            highest = await first.value("select max(id) from records")
            daemon.kill()
            await crash(sleepy.first)
            lost_to = await first.value("select coalesce(max(id), 0) from records")
            reused += highest - lost_to
            # New rows draw the ids again before SNK is back.
            await insert(first, 400)
            daemon.start()
            await until_equal(first, second)
            assert await first.value("select count(*) from records") >= before + 900 - 200 * (turn + 1)
    print(f"{reused} ids were taken back")
    assert reused > 0, "the crashes took nothing back, so nothing was shown"


async def has(side: Database, count: int) -> bool:
    return bool(await side.value("select count(*) from records") >= count)


async def going_on_from_high(pair: Any, sleepy: EmbeddedPair) -> None:
    """One such crash, with the daemon told that nothing happened."""
    first, second = Database(pair.first), Database(pair.second)
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        await insert_lazily(first, 500)
        await until(lambda: has(second, 500), "all rows in second")
        daemon.kill()
    await crash(sleepy.first)
    boot = await first.value(
        "select concat_ws('/', left(pg_walfile_name(pg_current_wal_lsn()), 8),"
        " extract(epoch from pg_postmaster_start_time()),"
        " (select extract(epoch from stats_reset) from pg_stat_bgwriter))"
    )
    await second.run(f"update snk.marks set boot = '{boot}', version = version + 1")
    await insert(first, 600)
    with DaemonProcess(pair, SNK_SWEEP_SECONDS="0") as daemon:
        await daemon.until_flowing()
        await until_equal(first, second, deadline_seconds=4.0)


@pytest.mark.full
async def test_going_on_from_the_greatest_id_would_miss_them(sleepy: EmbeddedPair) -> None:
    """The test above can fail: were the crash not noticed, rows on ids drawn again would stay where they are."""
    with pytest.raises(AssertionError, match="waited in vain"):
        await going_on_from_high(PairUrls(sleepy.first.dsn, sleepy.second.dsn, sleepy.redis.dsn), sleepy)
