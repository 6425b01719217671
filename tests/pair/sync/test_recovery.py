"""After any trouble a flow forgets what it held and goes on from the mark in the destination."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from snk.db.lender import Lent
from snk.db.server import Kind, Server
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.facts import TableFacts
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from snk.pair.table.marks import MarkState
from snk.pair.table.synced import Rows
from snk.pair.table.writer import Delivered, Writer
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running, until_healthy

OURS = "application_name = 'snk' and datname = current_database()"


async def test_cut_connections_lose_nothing(running: Running, first: Database, second: Database) -> None:
    async with running(batch_rows=50):
        for _ in range(20):
            await insert(first, 37)
            await insert(second, 41)
            for side in (first, second):
                await cut(side)
        await until_equal(first, second, 20 * (37 + 41))


async def cut(side: Database) -> None:
    """End all of SNK's connections to a database."""
    await side.rows(f"select pg_terminate_backend(pid) from pg_stat_activity where {OURS}")


@pytest.fixture
def cut_when_writing(monkeypatch: pytest.MonkeyPatch, second: Database) -> None:
    """The first deliveries into second find their connection cut, just before the rows are inserted."""
    using, cuts = Lent.using, iter(range(3))

    @asynccontextmanager
    async def cut_first(self: Lent, kind: Kind = "look") -> AsyncIterator[AsyncConnection]:
        async with using(self, kind) as connection:
            if kind == "write" and self.server.label == "second" and next(cuts, None) is not None:
                await cut(second)
            yield connection

    monkeypatch.setattr(Lent, "using", cut_first)


@pytest.mark.long
@pytest.mark.usefixtures("cut_when_writing")
async def test_a_connection_cut_while_writing_loses_nothing(
    running: Running, first: Database, second: Database
) -> None:
    async with running():
        await insert(first, 10)
        await until_equal(first, second, 10)


@pytest.mark.usefixtures("cut_when_writing")
async def test_a_mark_outside_the_transaction_would_lose_rows(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: with the mark moved first, in a transaction of its own, it does."""
    deliver = Writer.deliver

    async def mark_first(
        self: Writer, rows: Rows, state: MarkState, again: Sequence[str], *_: object
    ) -> tuple[Delivered, MarkState]:
        return await deliver(self, rows, await self.move(state), again)

    monkeypatch.setattr(Writer, "deliver", mark_first)
    async with running():
        await insert(first, 10)
        lost = set(await first.rows("select uuid from records"))

        async def comes() -> bool:
            await insert(first)
            return bool(await second.value("select count(*) from records"))

        await until(comes, "a row after those whose connections were cut")
        assert not lost & set(await second.rows("select uuid from records"))


async def test_a_mark_that_somebody_else_moved_is_gone_back_to(
    running: Running, first: Database, second: Database
) -> None:
    """A destination that lost its last transactions: the rows and the mark go back together, unknown to the daemon."""
    async with running() as daemon:
        await insert(first, 10)
        await until_equal(first, second, 10)

        async def marked() -> bool:
            return bool(await second.value("select high = 10 from snk.marks"))

        await until(marked, "the mark")
        async with second.connect() as crashing:
            await crashing.exec_driver_sql("delete from records where id <= 4")
            await crashing.exec_driver_sql("update snk.marks set high = 0, safe = 0, version = version + 1")
            await crashing.commit()
        await until_equal(first, second, 10)
        assert "mark" in daemon.status().flows[0].error


@pytest.mark.long
async def test_a_source_that_went_back_is_read_again(running: Running, first: Database, second: Database) -> None:
    async with running():
        await insert(first, 10)
        await until_equal(first, second, 10)
    await first.run("truncate records restart identity")
    await insert(first, 3)
    async with running():

        async def thirteen() -> bool:
            return bool(await second.value("select count(*) = 13 from records"))

        await until(thirteen, "the rows below the old mark")


@pytest.mark.long
async def test_another_source_is_read_from_its_beginning(running: Running, first: Database, second: Database) -> None:
    async with running():
        await insert(first, 10)
        await until_equal(first, second, 10)
    await second.run("update snk.marks set source = 'another cluster/1', high = 1000000")
    await insert(first, 1)
    async with running():
        await until_equal(first, second, 11)
        assert await second.rows("select high, source <> 'another cluster/1' from snk.marks") == [(11, True)]


async def test_after_another_boot_reading_goes_on_from_what_was_durable(
    running: Running, first: Database, second: Database
) -> None:
    """Ids between safe and high may have been drawn a second time, by rows nobody has seen."""
    async with running():
        await insert(first, 10)
        await until_equal(first, second, 10)
    await second.run("update snk.marks set boot = 'an earlier one', safe = 4, high = 10")
    await first.run(
        "delete from records where id = 7",
        "insert into records (id, uuid, data) values (7, gen_random_uuid(), 'drawn again')",
    )
    await second.run("delete from records where data = 'drawn again'")
    async with running() as daemon:

        async def there() -> bool:
            return bool(await second.value("select count(*) = 1 from records where data = 'drawn again'"))

        await until(there, "the row under the reused id")
        assert daemon.status().flows[0].present == 5


@pytest.mark.long
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_server_that_restarts_is_waited_for(own_pair: Any, own_servers: Any, mode: str) -> None:
    first, second = Database(own_pair.first), Database(own_pair.second)
    stop = asyncio.Event()
    pair = Pair(Server("first", own_pair.first), Server("second", own_pair.second), ("records",))
    daemon = Daemon(pair, Limits(), own_pair.redis)
    await daemon.wait_until_fit(stop, init=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(stop))
        await insert(first, 10)
        await until_equal(first, second, 10)
        own_servers.second.stop(mode)
        await insert(first, 10)

        async def waiting() -> bool:
            status = daemon.status()
            return all(flow.state == "waiting" for flow in status.flows) and not status.healthy

        await until(waiting, "the flows to wait")
        own_servers.second.start()
        await insert(second, 10)
        await until_equal(first, second, 30)
        await until_healthy(daemon)
        stop.set()


@pytest.mark.long
async def test_a_mark_moved_while_the_table_is_taken_over_is_no_source_that_went_back(
    first: Database, second: Database, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running():
        await insert(first, 10)
        await until_equal(first, second, 10)
    claimed = TableFacts.claimed
    moved, done = asyncio.Event(), asyncio.Event()

    async def moved_by_the_other(*asked: Any) -> Any:
        if not moved.is_set():
            moved.set()
            row = "insert into records (uuid, data) values (md5('moved')::uuid, 'moved') on conflict do nothing"
            for side, other in ((first, second), (second, first)):
                await side.run(row)
                high = await side.value("select max(id) from records")
                await other.run(f"update snk.marks set high = {high}, version = version + 1")
            done.set()
        return await claimed(*asked)

    monkeypatch.setattr(TableFacts, "claimed", moved_by_the_other)
    with capture_logs() as logs:
        async with running():
            await done.wait()
            await insert(first, 5)
            await until_equal(first, second, 16)
    assert "source_went_back" not in {entry["event"] for entry in logs}
