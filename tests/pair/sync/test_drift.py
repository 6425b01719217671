"""Tables that change under a running daemon: rows flow on where that is right, or wait with the reason in sight."""

import pytest

from snk.pair.sync.daemon import Daemon
from snk.pair.sync.schedule import SweepSchedule
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running

# What is done to first alone; what the status says; what is done about it: to first, and to second.
DRIFTS = {
    "a column added": (
        "alter table records add column note text default 'x'",
        "column note is in first but not in second",
        "",
        "alter table records add column note text default 'x'",
    ),
    "a column dropped": (
        "alter table records drop column data",
        "column data is in second but not in first",
        "alter table records add column data text not null default 'again'",
        "update records set data = 'again'",
    ),
    "a column renamed": (
        "alter table records rename column data to info",
        "column data is in second but not in first",
        "alter table records rename column info to data",
        "",
    ),
    "a column's type altered": (
        "alter table records alter column data type varchar(100)",
        "column data is character varying(100) in first and text in second",
        "",
        "alter table records alter column data type varchar(100)",
    ),
    "the table renamed": (
        "alter table records rename to elsewhere",
        "there is no table records",
        "alter table elsewhere rename to records",
        "",
    ),
    "the uuid's key dropped": (
        "alter table records drop constraint records_uuid_key",
        "has no column that could be its uuid",
        "alter table records add unique (uuid)",
        "",
    ),
}


async def until_paused(daemon: Daemon, reason: str) -> None:
    async def paused() -> bool:
        flows = daemon.status().flows
        return all(flow.state == "paused" and reason in flow.error for flow in flows)

    await until(paused, f"both flows to pause: {reason}")


async def healthy(daemon: Daemon) -> bool:
    return daemon.status().healthy


@pytest.mark.long
@pytest.mark.sampled(2)
@pytest.mark.parametrize("drift", DRIFTS)
async def test_rows_wait_for_a_table_that_drifted_and_lose_nothing(
    running: Running, first: Database, second: Database, drift: str
) -> None:
    change, reason, mend_first, mend_second = DRIFTS[drift]
    async with running() as daemon:
        await insert(first, 10)
        await until_equal(first, second, 10)
        await first.run(change)
        if "renamed" not in drift and "column dropped" not in drift:
            await first.run("insert into records (uuid, data) values (gen_random_uuid(), 'meanwhile')")
        await second.run("insert into records (uuid, data) values (gen_random_uuid(), 'meanwhile')")
        await until_paused(daemon, reason)
        assert not daemon.status().healthy
        for side, mend in ((first, mend_first), (second, mend_second)):
            if mend:
                await side.run(mend)
        await insert(first, 5)
        await until_equal(first, second)
        await until(lambda: healthy(daemon), "both flows to run again")


async def test_a_column_added_on_both_sides_needs_no_restart(
    running: Running, first: Database, second: Database
) -> None:
    async with running() as daemon:
        await insert(first, 10)
        await until_equal(first, second, 10)
        for side in (second, first):
            await side.run("alter table records add column note text")
        await first.run("insert into records (uuid, data, note) values (gen_random_uuid(), 'noted', 'there')")
        await until_equal(first, second, 11)
        assert await second.value("select note from records where data = 'noted'") == "there"
        await until(lambda: healthy(daemon), "both flows to run again")


@pytest.mark.long
async def test_a_column_that_is_generated_no_more_is_copied(
    running: Running, first: Database, second: Database
) -> None:
    async with running():
        pass
    for side in (first, second):
        await side.run("alter table records add column loud text generated always as (upper(data)) stored")
    drop = "alter table records alter column loud drop expression"
    async with running() as daemon:
        await insert(first, 3)
        await until_equal(first, second, 3)
        await first.run(drop)
        await until_paused(daemon, "column loud is generated in second and plain in first")
        await second.run(drop)
        await first.run("insert into records (uuid, data, loud) values (gen_random_uuid(), 'quiet', 'its own')")
        await until_equal(first, second, 4)
        assert await second.value("select loud from records where data = 'quiet'") == "its own"


SELDOM = SweepSchedule(every_seconds=3600.0, share=1.0, settle_seconds=0.5)


@pytest.mark.long
async def test_a_table_dropped_and_made_again_is_filled_from_the_other_side(
    running: Running, first: Database, second: Database
) -> None:
    async with running(sweeps=SELDOM) as daemon:
        await insert(first, 10)
        await insert(second, 10)
        await until_equal(first, second, 20)
        definition = "create table records (id bigserial primary key, uuid uuid not null unique, data text not null)"
        await first.run("drop table records")
        await until_paused(daemon, "there is no table records")
        await first.run(definition)
        await insert(first, 3)
        await until_equal(first, second, 23)
        await until(lambda: healthy(daemon), "both flows to run again")


@pytest.mark.long
async def test_a_table_emptied_on_one_side_is_filled_from_the_other(
    running: Running, first: Database, second: Database
) -> None:
    async with running(sweeps=SELDOM):
        await insert(first, 10)
        await insert(second, 10)
        await until_equal(first, second, 20)
        await first.run("truncate records")
        await insert(first, 3)
        await until_equal(first, second, 23)
