"""Rows cross in both directions, once; what was there before converges; conflicts are kept and shown."""

import asyncio

import pytest
from structlog.testing import capture_logs

from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.flow import Flow
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running

UUID = "00000000-0000-4000-8000-000000000001"


async def counted(daemon: Daemon, **figures: int) -> bool:
    """Whether all flows together have counted so much."""
    flows = daemon.status().flows
    return all(sum(getattr(flow, name) for flow in flows) == count for name, count in figures.items())


@pytest.mark.long
async def test_rows_inserted_on_either_side_appear_on_the_other(
    running: Running, first: Database, second: Database
) -> None:
    async with running():
        await insert(first, 300)
        await insert(second, 200)
        await until_equal(first, second, 500)


async def test_nothing_comes_back(running: Running, first: Database, second: Database) -> None:
    async with running() as daemon:
        await insert(first, 1000)
        await until_equal(first, second, 1000)
        await until(lambda: counted(daemon, delivered=1000, echoes=1000), "echoes met")
        there, back = daemon.status().flows
        assert (there.delivered, there.echoes) == (1000, 0)
        assert (back.delivered, back.echoes, back.present) == (0, 1000, 0)
        assert daemon.status().dedup.size == 0


@pytest.mark.long
async def test_overlapping_rows_converge_from_an_empty_start(
    running: Running, first: Database, second: Database
) -> None:
    async with running():
        pass  # makes the table
    await insert(first, 700)
    rows = await first.rows("select uuid, data from records order by id limit 400")
    for uuid, data in rows:
        await second.run(f"insert into records (uuid, data) values ('{uuid}', '{data}')")
    await insert(second, 300)
    async with running(batch_rows=100):
        await until_equal(first, second, 1000)


@pytest.mark.long
async def test_a_restarted_daemon_goes_on_where_it_stopped(running: Running, first: Database, second: Database) -> None:
    async with running():
        await insert(first, 100)
        await until_equal(first, second, 100)
    await insert(first, 50)
    await insert(second, 50)
    async with running() as daemon:
        await until_equal(first, second, 200)
        assert sum(flow.delivered for flow in daemon.status().flows) == 100


@pytest.mark.long
async def test_a_conflict_is_recorded_with_both_rows_and_overwrites_nothing(
    running: Running, first: Database, second: Database
) -> None:
    async with running():
        pass
    await first.run(f"insert into records (uuid, data) values ('{UUID}', 'one')")
    await second.run(f"insert into records (uuid, data) values ('{UUID}', 'other')")
    with capture_logs() as logs:
        async with running() as daemon:
            await insert(first, 10)
            await until(lambda: conflicts_noticed(daemon), "the conflict")
            await until(lambda: _count(second, 11), "the rows beside it")
    assert {entry["first"] for entry in logs if entry["event"] == "conflicts_recorded"} == {UUID}
    assert await first.value(f"select data from records where uuid = '{UUID}'") == "one"
    assert await second.value(f"select data from records where uuid = '{UUID}'") == "other"
    query = "select source_row->>'data', destination_row->>'data' from snk.conflicts"
    recorded = await second.rows(query) + await first.rows(query)
    assert set(recorded) <= {("one", "other"), ("other", "one")}
    assert recorded
    async with running() as daemon:
        await until(lambda: conflicts_noticed(daemon), "the conflict, after a restart")


async def conflicts_noticed(daemon: Daemon) -> bool:
    """Whether any flow tells of a conflict."""
    return any(flow.conflicts for flow in daemon.status().flows)


async def _count(database: Database, rows: int) -> bool:
    return bool(await database.value("select count(*) from records") == rows)


@pytest.mark.long
async def test_several_tables_have_flows_and_marks_of_their_own(
    running: Running, first: Database, second: Database
) -> None:
    for side in (first, second):
        await side.run(
            'create schema "Sales"',
            'create table "Sales"."Order Lines" (id serial primary key, uuid uuid not null unique, data text)',
            "create table events (seq bigserial unique, ref uuid primary key, data text)",
        )
    async with running("records", "Sales.Order Lines", "events"):
        await insert(first, 30)
        await insert(second, 20, '"Sales"."Order Lines"')
        await first.run("insert into events (ref, data) select gen_random_uuid(), 'x' from generate_series(1, 10)")
        await until_equal(first, second, 30)
        await until_equal(first, second, 20, '"Sales"."Order Lines"')
        await until(lambda: _events(second, 10), "events")
        marks = await second.rows("select table_name from snk.marks order by table_name")
        assert marks == [("Sales.Order Lines",), ("public.events",), ("public.records",)]


async def _events(database: Database, rows: int) -> bool:
    return bool(await database.value("select count(*) from events") == rows)


async def test_rows_open_for_long_delay_nobody_and_come_when_committed(
    running: Running, first: Database, second: Database
) -> None:
    async with running() as daemon, first.connect() as writer:
        await writer.exec_driver_sql("set application_name = 'slow_import'")
        await writer.exec_driver_sql("insert into records (uuid, data) values (gen_random_uuid(), 'late')")
        await insert(first, 10)
        await until(lambda: _count(second, 10), "the others")

        async def named() -> bool:
            flow = daemon.status().flows[0]
            return [b.application for b in flow.blockers] == ["slow_import"] and flow.hole_ids == 1

        await until(named, "whoever holds the hole open is named")
        await writer.commit()
        await until_equal(first, second, 11)

        async def closed() -> bool:
            return not daemon.status().flows[0].hole_ids

        await until(closed, "the hole")


async def test_a_set_that_lies_would_lose_rows(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail: a set that claims to know every third row drops it, and the mark goes by."""
    monkeypatch.setattr(DedupSet, "take", lambda _, uuids: [at % 3 > 0 for at, _ in enumerate(uuids)])
    async with running():
        await insert(first, 100)

        async def passed() -> bool:
            return bool(await second.value("select count(*) from snk.marks where high = 100"))

        await until(passed, "the mark to go by all rows")
        assert await second.value("select count(*) < 100 from records")


async def test_without_redis_rows_flow_and_status_says_so(running: Running, first: Database, second: Database) -> None:
    async with running(redis="redis://127.0.0.1:1/0") as daemon:
        await insert(first, 100)
        await until_equal(first, second, 100)

        async def said() -> bool:
            return not daemon.status().dedup.redis and bool(daemon.status().dedup.error)

        await until(said, "that Redis is away")


async def test_a_flow_that_ends_by_itself_ends_the_daemon_loudly(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a daemon that looks alive would be worse than none."""

    async def ends(*_: object) -> None:
        return

    monkeypatch.setattr(Flow, "run", ends)
    with pytest.raises(ExceptionGroup) as caught:
        async with running():
            await asyncio.Event().wait()
    assert caught.group_contains(RuntimeError, match="ended without being told to: records first→second")
