"""Servers that are full, slow, read-only or restarted in the middle: the flow says so, waits, and goes on by itself."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy.exc import SQLAlchemyError

from snk.db.server import Server
from snk.embedded.process import server_account
from snk.pair.core import pace
from snk.pair.sync import room
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from snk.pair.table import conflicts
from tests.conftest import psql
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import kept_running, watch_named
from tests.pair.sync.faults import daemon_over, goes_on, until_running, until_says
from tests.pair.sync.test_recovery import cut

MEGABYTE = 1024 * 1024


@pytest.mark.long
async def test_a_role_without_connections_left_is_waited_for(pair: Any, first: Database, second: Database) -> None:
    role = "r" + pair.first.rpartition("/")[2]
    await second.run(
        f"create role {role} login password 'pw'", f"grant all on database {dbname(pair.second)} to {role}"
    )
    await second.run(f"grant all on schema public to {role}")
    async with daemon_over(pair.first, pair.second.replace("postgres:postgres@", f"{role}:pw@"), pair.redis) as daemon:
        await until_running(daemon)
        await second.run(f"alter role {role} connection limit 0")
        await second.rows(f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'")
        await insert(first, 5)
        await until_says(daemon, "too many connections for role")
        assert "SNK continues by itself when it can connect" in daemon.status().flows[0].error
        await second.run(f"alter role {role} connection limit -1")
        await goes_on(daemon, first, second, 5)
    await second.run(f"drop owned by {role}", f"drop role {role}")


def dbname(dsn: str) -> str:
    return urlsplit(dsn).path[1:]


@pytest.mark.long
async def test_read_only_mode_is_named_and_waited_for(pair: Any, first: Database, second: Database) -> None:
    mode = f"alter database {dbname(pair.second)} set default_transaction_read_only"
    async with daemon_over(pair.first, pair.second, pair.redis) as daemon:
        await until_running(daemon)
        await second.run(f"{mode} = on")
        await cut(second)
        await insert(first, 5)
        await until_says(daemon, "read-only transaction. It is in read-only mode; SNK continues by itself")
        async with second.connect() as admin:
            await admin.exec_driver_sql("set default_transaction_read_only = off")
            await admin.commit()
            await admin.exec_driver_sql(f"{mode} = off")
            await admin.commit()
        await goes_on(daemon, first, second, 5)


async def bulk(side: Database, megabytes: int) -> None:
    """Rows of a megabyte that cannot be compressed."""
    await side.run("alter table records alter data set storage external")
    await side.run(
        "insert into records (uuid, data)"
        f" select gen_random_uuid(), repeat(md5(random()::text), {MEGABYTE // 32}) from generate_series(1, {megabytes})"
    )


@pytest.fixture
def small(place: Path) -> Iterator[Path]:
    """A disk of its own with room for fewer than 24 rows of a megabyte, which the servers may use."""
    owner = server_account()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m,mode=700", "tmpfs", str(place)]
    if owner is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    os.chown(place, owner.uid, owner.gid)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.long
async def test_a_disk_that_is_full_is_waited_for(small: Path, own_servers: Any, own_pair: Any) -> None:
    """However small the batches are: no row is to blame, so none is set aside."""
    first, second = Database(own_pair.first), Database(own_pair.second)
    psql(own_servers.second, f"create tablespace small location '{small}'")
    table = "create table records (id bigserial primary key, uuid uuid not null unique, data text not null)"
    await first.run(table)
    await second.run(f"{table} tablespace small", "alter table records alter data set storage external")
    async with daemon_over(own_pair.first, own_pair.second, own_pair.redis) as daemon:
        await until_running(daemon)
        await bulk(first, 24)
        await until_says(daemon, "No space left on device")
        assert await second.value("select count(*) from snk.rejected") == 0
        subprocess.run(["mount", "-o", "remount,size=100m", str(small)], check=True)
        await goes_on(daemon, first, second, 24)
        assert await second.value("select count(*) from snk.rejected") == 0


SLOW = """create or replace function slow() returns trigger language plpgsql as $$
begin perform pg_sleep({seconds}); return new; end $$"""


async def slowed(side: Database) -> None:
    await side.run(
        SLOW.format(seconds=0.01), "create trigger slow before insert on records for each row execute function slow()"
    )


@pytest.mark.long
async def test_a_server_too_slow_for_a_batch_gets_smaller_ones(
    pair: Any, first: Database, second: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """400 rows take it 4 s, and a statement may take one: tried again as they are, they would never arrive."""
    async with daemon_over(pair.first, pair.second, pair.redis, batch_rows=400, command_seconds=1.0) as daemon:
        await until_running(daemon)
        await slowed(second)
        await insert(first, 400)
        await until_equal(first, second, 400)
        (told, *_) = [line for line in capsys.readouterr().out.splitlines() if "batches_made_smaller" in line]
        assert f"bytes={Limits().batch_bytes // 8} " in told, "an eighth of both"
        assert "rows=50 " in told
        await second.run("drop trigger slow on records")
        await goes_on(daemon, first, second, 400)


@pytest.mark.long
async def test_batches_that_stay_large_would_be_tried_for_ever(
    pair: Any, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: with batches that do not shrink, it does."""
    monkeypatch.setattr(pace, "SMALLER", 1)
    async with daemon_over(pair.first, pair.second, pair.redis, batch_rows=400, command_seconds=1.0) as daemon:
        await until_running(daemon)
        await slowed(second)
        await insert(first, 400)
        with pytest.raises(AssertionError, match="waited in vain"):
            await until_equal(first, second, 400, deadline_seconds=5.0)


@pytest.mark.long
async def test_a_statement_that_a_lock_holds_up_does_not_hang(pair: Any, first: Database, second: Database) -> None:
    async with daemon_over(pair.first, pair.second, pair.redis, command_seconds=1.0) as daemon:
        await until_running(daemon)
        async with second.connect() as locking:
            await locking.exec_driver_sql("lock table records in share mode")
            await insert(first, 5)
            await until_says(daemon, "second (127.0.0.1")
            await locking.rollback()
        await goes_on(daemon, first, second, 5)


@pytest.mark.long
async def test_both_servers_crash_in_the_middle_of_writing(own_pair: Any, own_servers: Any) -> None:
    """Whatever was acknowledged to a writer is on both sides afterwards."""
    first, second = Database(own_pair.first), Database(own_pair.second)
    writing = True

    async def write(side: Database) -> set[str]:
        acknowledged: set[str] = set()
        while writing:
            try:
                async with side.connect() as connection:
                    while writing:
                        rows = await connection.exec_driver_sql(
                            "insert into records (uuid, data)"
                            " select gen_random_uuid(), md5(random()::text) from generate_series(1, 20) returning uuid"
                        )
                        uuids = {str(uuid) for (uuid,) in rows}
                        await connection.commit()
                        acknowledged |= uuids
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(0.05)
        return acknowledged

    async def more_than(side: Database, rows: int) -> bool:
        return bool(await side.value("select count(*) from records") > rows)

    async with daemon_over(own_pair.first, own_pair.second, own_pair.redis, batch_rows=50) as daemon:
        await until_running(daemon)
        writers = [asyncio.create_task(write(side)) for side in (first, second)]
        for server in (own_servers.second, own_servers.first):
            so_far = await first.value("select count(*) from records")
            await until(partial(more_than, first, so_far + 200), "rows under way")
            # In a thread, so that everybody goes on meanwhile; started from here, as its life is tied to this thread.
            await asyncio.to_thread(server.stop, "immediate")
            server.start()
        so_far = await first.value("select count(*) from records")
        await until(lambda: more_than(first, so_far + 200), "rows after the crashes")
        writing = False
        acknowledged = set().union(*await asyncio.gather(*writers))
        await until_equal(first, second)
        there = {str(uuid) for (uuid,) in await first.rows("select uuid from records")}
        assert acknowledged <= there
        await goes_on(daemon, first, second, len(there))


@pytest.mark.long
async def test_wide_rows_under_the_uuids_of_narrow_ones_are_compared_a_few_at_a_time(
    pair: Any, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflicts, "COMPARED_BYTES", 4 * MEGABYTE)
    seen = watch_named(monkeypatch)
    rows = "insert into records (uuid, data) select md5(n::text)::uuid, {} from generate_series(1, 20) n"
    table = "create table records (id bigserial primary key, uuid uuid not null unique, data text not null)"
    await first.run(table, rows.format("'narrow'"))
    await second.run(table, rows.format(f"repeat('x', {MEGABYTE})"))
    async with daemon_over(pair.first, pair.second, pair.redis):

        async def recorded() -> bool:
            # whichever flow meets the other's row first records it
            found = [await side.value("select count(*) from snk.conflicts") for side in (first, second)]
            return sum(found) >= 20

        await until(recorded, "all conflicts")
    assert max(seen) < 5 * MEGABYTE


def test_many_tables_share_what_a_few_may_have() -> None:
    limits = Limits(batch_rows=10_000, batch_bytes=16_000_000, notes=200_000)
    assert limits.shared_by(4) == limits
    assert limits.shared_by(16) == replace(limits, batch_rows=2_500, batch_bytes=4_000_000)
    assert limits.shared_by(1_000_000) == replace(limits, batch_rows=1500, batch_bytes=2**18)
    assert Limits(batch_rows=10, batch_bytes=100).shared_by(1_000_000) == Limits(batch_rows=10, batch_bytes=100)


def test_who_finds_no_place_for_large_batches_is_known_until_one_is_given_back() -> None:
    places = room.Room(Limits())
    assert all(places.take() for _ in range(room.LARGE))
    assert [places.wanted, places.take(), places.wanted] == [False, False, True]
    places.give_back()
    assert not places.wanted


async def test_few_flows_read_large_batches_and_leave_the_room_when_they_have_caught_up(
    first: Database, second: Database, pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here one of them may; all that are behind share what is left, and it is free in the end."""
    monkeypatch.setattr(room, "LARGE", 1)
    tables = tuple(f"t{number}" for number in range(12))
    for side in (first, second):
        await side.run(
            *(f"create table {name} (id bigserial primary key, uuid uuid not null unique)" for name in tables)
        )
    rows = "insert into {} (uuid) select gen_random_uuid() from generate_series(1, 4000)"
    await first.run(*map(rows.format, tables))
    servers = Pair(Server("first", pair.first), Server("second", pair.second), tables)
    daemon, stop = Daemon(servers, Limits(batch_rows=3000), pair.redis), asyncio.Event()
    await daemon.wait_until_fit(stop, init=True)
    async with kept_running(daemon, stop):
        for name in tables:
            await until_equal(first, second, 4000, name)
        place = daemon._shared.room

        async def free() -> bool:
            return place._left == 1

        await until(free, "the place to be free")


def test_many_tables_share_the_notes_that_a_few_may_have(pair: Any) -> None:
    tables = tuple(f"t{number}" for number in range(16))
    servers = Pair(Server("first", pair.first), Server("second", pair.second), tables)
    daemon = Daemon(servers, Limits(notes=1000), pair.redis)
    for held in (known for job in daemon._tables.jobs.values() for known in job.dedup_sets.values()):
        for batch in range(20):
            held.note([f"{batch}-{number}" for number in range(100)], "boot")
    assert 16 < daemon.status().dedup.size <= 2 * 4 * 1000
