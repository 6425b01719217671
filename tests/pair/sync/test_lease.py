"""Of several daemons on a pair one works on each table; who comes late cannot write."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from snk.db.access import Access
from snk.db.server import Server
from snk.errors import LeaseLost, MarkMoved
from snk.pair.core.portion import Portion
from snk.pair.schema.leases import LeaseBook, LeaseState
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.leases import Leases
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from snk.pair.sync.prepare import prepare
from snk.pair.table import deliveries, marks
from snk.pair.table import writer as writer_module
from snk.pair.table.marks import MarkState
from snk.pair.table.synced import Rows
from snk.pair.table.writer import Writer
from tests.kit.databases import Database, insert, until, until_equal
from tests.kit.links import linked_servers
from tests.pair.conftest import NO_SWEEPS, Running, until_healthy

TABLES = ("t1", "t2", "t3", "t4", "t5")


def states(daemon: Daemon) -> set[str]:
    return {flow.state for flow in daemon.status().flows}


def leaders(daemon: Daemon) -> set[str]:
    return {flow.leader for flow in daemon.status().flows}


async def until_state(daemon: Daemon, state: str) -> None:
    async def so() -> bool:
        return states(daemon) == {state}

    await until(so, f"a daemon to be {state}")


@pytest.mark.long
async def test_one_of_two_daemons_works_and_the_other_takes_over_when_it_stops(
    running: Running, first: Database, second: Database
) -> None:
    leading = running(name="one")
    one = await leading.__aenter__()
    await until_state(one, "running")
    async with running(name="other") as other:
        await until_state(other, "standby")
        assert leaders(one) == leaders(other) == {"one"}
        await until_healthy(other)
        await insert(first, 5)
        await until_equal(first, second, 5)
        assert [flow.delivered for flow in other.status().flows] == [0, 0]
        await leading.__aexit__(None, None, None)
        await until_state(other, "running")
        assert leaders(other) == {"other"}
        await insert(second, 5)
        await until_equal(first, second, 10)


@pytest.mark.long
async def test_tables_are_shared_and_move_when_a_daemon_ends(
    running: Running, first: Database, second: Database
) -> None:
    for side in (first, second):
        for table in TABLES:
            await side.run(f"create table {table} (id bigserial primary key, uuid uuid not null unique, data text)")

    def working(daemon: Daemon) -> int:
        return sum(flow.state == "running" for flow in daemon.status().flows) // 2

    async with running(*TABLES, name="one") as one:
        async with running(*TABLES, name="other") as other:

            async def shared() -> bool:
                return sorted((working(one), working(other))) == [2, 3]

            await until(shared, "a fair share for each")
            for table in TABLES:
                await insert(first, 3, table)
                await until_equal(first, second, 3, table)

            async def told_alike() -> bool:
                told = [Counter(flow.leader for flow in daemon.status().flows) for daemon in (one, other)]
                return told[0] == told[1]

            await until(told_alike, "both to tell the same")

        async def all_at_one() -> bool:
            return working(one) == 5

        await until(all_at_one, "all tables at one")
        for table in TABLES:
            await insert(second, 3, table)
            await until_equal(first, second, 6, table)


def test_a_daemon_asks_for_no_table_that_is_not_in_its_settings() -> None:
    """The other one would let it go, and nobody would take it."""
    nowhere = Server("first", "postgresql://nowhere/x")
    leases = Leases((nowhere, nowhere), {}, "other", lambda *_: None)
    leases._full_names = {"t1": "public.t1", "t6": "public.t6"}
    others = {f"public.t{n}": LeaseState(f"public.t{n}", 1, "one", free=False, wanted_by="") for n in range(2, 6)}
    ours = LeaseState("public.t6", 1, "other", free=False, wanted_by="")
    shared = LeaseState("public.t1", 1, "one", free=False, wanted_by="")
    assert leases._fair_request({**others, "public.t1": shared, "public.t6": ours}) == ""
    held = replace(ours, holder="one")
    assert leases._fair_request({**others, "public.t1": shared, "public.t6": held}) in ("public.t1", "public.t6")


async def test_who_has_an_older_lease_cannot_write(pair: Any, first: Database, second: Database) -> None:
    await with_two_leases(pair, first, second)


async def with_two_leases(pair: Any, first: Database, second: Database) -> None:
    """A writer that slept while another took the lease, and that even knows the present version of the mark."""
    servers = Server("first", pair.first), Server("second", pair.second)
    for server in servers:
        await prepare(server, ("records",))
    await insert(first, 1)
    async with linked_servers(*servers, "records") as old, linked_servers(*servers, "records") as new:
        rows = (await old.source.reader.above(0, Portion.of(10, 2**20))).rows
        late, present = old.destination.writer, new.destination.writer
        access = new.destination.access
        async with access.using() as connection:
            await marks.create(connection, [("public.records", MarkState(source="x", boot="y", epoch=1))])
        state = await claimed(access, 1)
        taken = await claimed(access, 2)
        assert (taken.epoch, taken.version) == (2, state.version + 1)
        for stale in (state, replace(taken, epoch=1)):
            await refused(late, rows, stale)
        with pytest.raises(LeaseLost, match="epoch 2 has the lease, not this daemon's 1"):
            await claimed(access, 1)
        assert await second.value("select count(*) from records") == 0
        await present.deliver(rows, taken)
        assert await second.value("select count(*) from records") == 1


async def claimed(access: Access, epoch: int) -> MarkState:
    async with access.using() as connection:
        state = (await marks.claim(connection, [("public.records", epoch)]))["public.records", epoch]
    if isinstance(state, LeaseLost):
        raise state
    assert isinstance(state, MarkState)
    return state


async def refused(writer: Writer, rows: Rows, state: MarkState) -> None:
    for careful in (False, True):
        writer._careful = careful
        with pytest.raises(MarkMoved):
            await writer.deliver(rows, state)


async def test_without_the_epoch_in_the_write_a_late_daemon_would_write(
    pair: Any, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail."""
    move = deliveries.MOVE_MARK
    unfenced = move.with_dialect_options()
    unfenced._where_criteria = tuple(part for part in move._where_criteria if "epoch" not in str(part))
    assert len(unfenced._where_criteria) == len(move._where_criteria) - 1
    for module in (deliveries, writer_module):
        monkeypatch.setattr(module, "MOVE_MARK", unfenced)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await with_two_leases(pair, first, second)


@pytest.mark.long
async def test_a_lease_set_back_with_the_first_database_is_outdone(
    running: Running, first: Database, second: Database
) -> None:
    async with running() as daemon:
        await insert(first, 3)
        await until_equal(first, second, 3)
        assert await second.value("select epoch from snk.marks") == 1
    await second.run("update snk.marks set epoch = 7")
    async with running() as daemon:
        await insert(first, 3)
        await until_equal(first, second, 6)
        assert await second.value("select epoch from snk.marks") == 8
        await until_state(daemon, "running")


@pytest.mark.long
async def test_tables_of_other_daemons_are_not_asked_for(running: Running, first: Database, second: Database) -> None:
    for side in (first, second):
        for table in TABLES:
            await side.run(f"create table {table} (id bigserial primary key, uuid uuid not null unique, data text)")
    async with running(*TABLES[:3], name="one") as one, running(TABLES[4], name="other") as other:
        await until_state(one, "running")
        await until_state(other, "running")
        for table in TABLES[:3]:
            await insert(first, 3, table)
            await until_equal(first, second, 3, table)
        assert await first.value("select count(*) from snk.leases where wanted_by <> ''") == 0
        assert await first.value("select max(epoch) from snk.leases") == 1


@pytest.mark.long
async def test_daemons_that_call_the_databases_the_other_way_round_have_one_lease(
    running: Running, pair: Any, first: Database, second: Database
) -> None:
    stop = asyncio.Event()
    servers = Server("first", pair.second), Server("second", pair.first)
    other = Daemon(Pair(*servers, ("records",)), Limits(), pair.redis, name="other", sweeps=NO_SWEEPS)
    async with running(name="one") as one, asyncio.TaskGroup() as group:
        await until_state(one, "running")
        group.create_task(other.run(stop))
        await until_state(other, "standby")
        await insert(first, 5)
        await insert(second, 5)
        await until_equal(first, second, 10)
        assert states(one) == {"running"}
        stop.set()


async def test_a_lease_taken_by_another_at_the_same_epoch_is_not_renewed(pair: Any, first: Database) -> None:
    """The database that keeps the leases was set back to before it was taken."""
    server = Server("first", pair.first)
    await prepare(server, ("records",))
    async with server.connect() as one, server.connect() as other:
        ours, theirs = LeaseBook(server, one, "one"), LeaseBook(server, other, "other")
        for book in (ours, theirs):
            await book.enter()
            lease = (await book.look(["t"]))["t"]
            assert lease.free
            assert await book.take({"t": (lease.epoch, 1)})
            if book is ours:
                await first.run("update snk.leases set epoch = 0, holder = ''")
        before = await first.value("select alive || '/' || until from snk.leases where table_name = 't'")
        await ours.renew({"t": 1})
        await ours.release("t", 1)
        assert await first.value("select alive || '/' || until from snk.leases where table_name = 't'") == before
        assert (await ours.look(["t"]))["t"].holder == "other"
        await theirs.renew({"t": 1})
        assert await first.value("select alive || '/' || until from snk.leases where table_name = 't'") != before
