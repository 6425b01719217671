"""A sweep that is owed is made, by whichever daemon comes next, and at once, even where sweeps are off."""

from typing import Any

import pytest

from snk.db.access import Dedicated
from snk.db.server import Server
from snk.errors import DatabaseUnfit, Unavailable
from snk.pair.schema.sweeps import Sweeps, look
from snk.pair.schema.sweeps import owed as owed_of
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.facts import TableFacts
from snk.pair.sync.prepare import prepare
from snk.pair.sync.schedule import SweepSchedule
from tests.kit.daemons import DaemonProcess
from tests.kit.databases import Database, insert, until, until_equal
from tests.kit.links import shape_on
from tests.pair.conftest import Running, until_asleep

OFF = SweepSchedule(every_seconds=0, share=1.0, settle_seconds=0.5)
# A sweep that has found something looks at it for so long that only its end ends it.
ENDLESS = SweepSchedule(every_seconds=0, share=1.0, settle_seconds=3600.0)

PLAIN = "create table records (id bigserial primary key, uuid uuid not null unique, data text)"
PARTITIONED = (
    "create table records (id bigserial, uuid uuid not null unique, data text) partition by range (uuid)",
    "create index on records (id)",
    "create table low partition of records for values from (minvalue) to ('80000000-0000-0000-0000-000000000000')",
    "create table high partition of records for values from ('80000000-0000-0000-0000-000000000000') to (maxvalue)",
)
EMPTIED = {
    "a plain table": ((PLAIN,), ("truncate records",)),
    "a partitioned table": (PARTITIONED, ("truncate records",)),
    "a partition": (PARTITIONED, ("truncate low",)),
    "a table made anew": ((PLAIN,), ("drop table records", PLAIN)),
    "a partitioned table made anew": (PARTITIONED, ("drop table records", *PARTITIONED)),
}


async def owed(*sides: Database) -> list[str]:
    return [await side.value("select owed from snk.sweeps") for side in sides]


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", EMPTIED)
async def test_what_was_emptied_while_no_daemon_ran_comes_back(
    running: Running, first: Database, second: Database, kind: str
) -> None:
    made, emptied = EMPTIED[kind]
    for side in (first, second):
        await side.run(*made)
    async with running(sweeps=OFF):
        await insert(first, 20)
        await insert(second, 20)
        await until_equal(first, second, 40)
        assert await owed(first, second) == ["", ""], "there was nothing to doubt"
    await second.run(*emptied)
    async with running(sweeps=OFF):
        await until_equal(first, second, 40)


@pytest.mark.long
async def test_what_was_emptied_while_no_daemon_ran_is_swept_until_both_sides_are_equal(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snk.pair.sync.sweeper.AGAIN_SECONDS", 0.1)
    async with running(sweeps=OFF):
        await insert(first, 5)
        await until_equal(first, second, 5)
    await first.run("truncate records")
    async with running(sweeps=OFF) as daemon:

        async def settled() -> bool:
            return await owed(first, second) == ["", ""] and daemon.status().sweeps[0].proven_seconds is not None

        await until(settled, "the sweep to be settled")
        assert await first.contents() == await second.contents()


@pytest.mark.long
async def test_a_sweep_that_found_rows_settles_nothing_before_they_are_there(
    running: Running, first: Database, second: Database
) -> None:
    async with running(sweeps=OFF):
        await insert(first, 5)
        await until_equal(first, second, 5)
    await second.run("truncate records")
    async with second.connect() as locking:
        await locking.exec_driver_sql("lock table records in share mode")
        async with running(sweeps=OFF) as daemon:

            async def found() -> bool:
                return daemon.status().sweeps[0].found == 5

            await until(found, "the sweep to find the rows")
    async with running(sweeps=OFF):
        await until_equal(first, second, 5)


async def failed_over(first: Database, second: Database, running: Running) -> None:
    """The source is on another timeline, and a row is missing in the destination."""
    async with running():
        await insert(first, 10)
        await until_equal(first, second, 10)
    await second.run(
        "update snk.marks set boot = '00000009/1/1', safe = 10, high = 10", "delete from records where id = 4"
    )


async def until_mark_moved(first: Database, second: Database) -> None:
    """What gave the fail-over away is gone, with the next row that is delivered."""
    await insert(first)

    async def moved() -> bool:
        return bool(await second.value("select boot not like '00000009/%' from snk.marks"))

    await until(moved, "the mark to move")


async def sweeping(daemon: Daemon) -> bool:
    return daemon.status().sweeps[0].state == "running"


@pytest.mark.long
async def test_a_sweep_that_was_owed_when_the_daemon_ended_is_made_by_the_next(
    running: Running, first: Database, second: Database
) -> None:
    await failed_over(first, second, running)
    async with running(sweeps=ENDLESS) as daemon:
        await until_mark_moved(first, second)
        await until(lambda: sweeping(daemon), "the sweep to begin")
    assert await owed(second) == ["the source failed over, or was restored from a backup"]
    async with running(sweeps=OFF):
        await until_equal(first, second, 11)


@pytest.mark.long
async def test_a_reason_kept_in_memory_would_be_lost(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: with the reason not written down, it does."""

    async def forget(*_: object) -> None:
        return

    await failed_over(first, second, running)
    monkeypatch.setattr(Sweeps, "owe", forget)
    async with running(sweeps=ENDLESS):
        await until_mark_moved(first, second)
    async with running(sweeps=OFF):
        with pytest.raises(AssertionError, match="waited in vain"):
            await until_equal(first, second, 11, deadline_seconds=5.0)


@pytest.mark.long
async def test_a_sweep_that_was_owed_when_the_daemon_was_killed_is_made_by_the_next(
    pair: Any, running: Running, first: Database, second: Database
) -> None:
    await failed_over(first, second, running)
    with DaemonProcess(pair, SNK_SWEEP_SECONDS="0") as daemon:
        await until_mark_moved(first, second)
        daemon.kill()
        daemon.start()
        await until_equal(first, second, 11)


@pytest.mark.long
async def test_a_sweep_that_fails_settles_nothing(running: Running, first: Database, second: Database) -> None:
    await failed_over(first, second, running)
    looking = "application_name = 'snk' and query like '%hash%' and datname = current_database()"
    async with running(sweeps=ENDLESS) as daemon:

        async def failed() -> bool:
            await second.rows(f"select pg_terminate_backend(pid) from pg_stat_activity where {looking}")
            return bool(daemon.status().sweeps[0].error)

        await until(failed, "the sweep to fail")
        assert await owed(second) != [""]
    async with running(sweeps=OFF):
        await until_equal(first, second, 10)


async def test_a_reason_that_comes_during_a_sweep_is_not_settled_by_it(pair: Any, running: Running) -> None:
    async with running():
        pass
    server = Server("second", pair.second)
    async with server.connect() as connection:
        sweeps = Sweeps(Dedicated(server, connection), "public.records")
        await sweeps.owe("one")
        before = (await owed_of(connection, ["public.records"]))["public.records"]
        assert before
        assert before.reason == "one"
        await sweeps.owe("another")
        await sweeps.settle(before)
        after = (await owed_of(connection, ["public.records"]))["public.records"]
        assert after
        assert after.reason == "another"
        await sweeps.settle(after)
        assert (await owed_of(connection, ["public.records"]))["public.records"] is None


@pytest.mark.long
async def test_a_partition_that_comes_or_goes_is_no_reason_and_one_that_is_emptied_is(
    pair: Any, running: Running, second: Database
) -> None:
    """Rows are purged by dropping partitions, on one side after the other."""
    async with running():
        pass
    await second.run(
        "create table parts (id bigserial, uuid uuid not null unique, k int) partition by list (uuid)",
        "create table a partition of parts for values in ('00000000-0000-0000-0000-000000000001')",
    )
    changes = {
        "create table b partition of parts for values in ('00000000-0000-0000-0000-000000000002')": False,
        "drop table a": False,
        "create table other (id int)": False,
        "truncate b": True,
        "alter table b rename to c": False,
        "vacuum full c": True,
    }
    server = Server("second", pair.second)
    seen: dict[str, bool] = {}
    for change in ("select", *changes):
        async with second.connect() as hand:
            await (await hand.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql(change)
        seen[change] = await looked(server, "parts")
        assert not await looked(server, "parts")
    assert seen == {"select": False, **changes}


async def test_a_crash_that_empties_an_unlogged_table_is_a_reason_and_one_that_does_not_is_none(
    own_pair: Any, own_servers: Any
) -> None:
    server, second = Server("second", own_pair.second), Database(own_pair.second)
    await prepare(server, ())
    await second.run(PLAIN, PLAIN.replace("table records", "unlogged table fleeting"))
    seen: list[dict[str, bool]] = []
    for _ in range(3):
        seen.append({table: await looked(server, table) for table in ("records", "fleeting")})
        if len(seen) == 2:
            await second.run("create table flushed (id int)")  # a commit that is waited for, and all before it with it
            own_servers.second.stop("immediate")
            own_servers.second.start()
    nothing = {"records": False, "fleeting": False}
    assert seen == [nothing, nothing, {"records": False, "fleeting": True}]


async def looked(server: Server, table: str) -> bool:
    """Whether a flow that begins now has reason to doubt its mark."""
    shape = await shape_on(server, table)
    async with server.connect() as connection:
        seen = (shape.full_name, shape.storage_fingerprint)
        return (await look(connection, [seen]))[seen]


@pytest.mark.long
async def test_a_schema_that_an_earlier_version_made_is_told_of(running: Running, second: Database) -> None:
    async with running():
        pass
    await second.run("drop table snk.sweeps")
    with pytest.raises(DatabaseUnfit, match=r"second .*: snk\.sweeps missing\. Run `snk init`"):
        async with running(init=False):
            pass
    async with running(init=True):
        assert await second.value("select count(*) from snk.sweeps") in (0, 1)


async def test_a_sweep_that_is_owed_is_made_although_nobody_was_told(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the statement that stored it was lost; asked again, the server says that nothing is new."""
    rewritten, told = TableFacts.rewritten, list[bool]()

    async def lost(self: TableFacts, *asked: Any) -> bool:
        told.append(await rewritten(self, *asked))
        if told.count(True) == 1 and told[-1]:
            raise Unavailable("the answer was lost")
        return told[-1]

    async with running(sweeps=OFF) as daemon:
        await insert(first, 5)
        await until_equal(first, second, 5)
        await until_asleep(daemon)
        monkeypatch.setattr(TableFacts, "rewritten", lost)
        await second.run("truncate records")
        await until_equal(first, second, 5)
    assert told.count(True) == 1, "asked again, nothing is new"
    assert told[-1] is False
