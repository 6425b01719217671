"""Behind one address there may be another server: after a fail-over, while connections to the old one live on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from snk.db.lender import Lent
from snk.db.server import Server
from snk.errors import Unavailable
from snk.pair.sync import boots
from snk.pair.sync.boots import BootWatch
from snk.pair.sync.leases import Leases
from snk.pair.sync.link import lender_of
from snk.pair.sync.prepare import prepare
from snk.pair.sync.watch import Sleeper, Watch
from snk.pair.table.commits import Ids
from tests.kit.databases import Database, until
from tests.kit.proxy import Proxy, proxied

TABLE = "create table t (id bigserial primary key, uuid uuid not null unique default gen_random_uuid())"


@pytest.fixture
async def proxy(pair: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """Before the first server; both have a table."""
    monkeypatch.setattr(boots, "MEET_SECONDS", 0.05)
    for dsn in (pair.first, pair.second):
        await prepare(Server("first", dsn), ())
        await Database(dsn).run(TABLE)
    async with proxied(pair.first) as before:
        yield before


@asynccontextmanager
async def running(*parts: Any) -> AsyncIterator[None]:
    """Run each part until the end of the block."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(part.run(stop)) for part in parts]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def test_a_watch_goes_where_new_connections_go(pair: Any, proxy: Proxy) -> None:
    server = Server("first", proxy.dsn)
    lender = lender_of(server, 2)
    watch = Watch(server, lender, 0.005)
    oid = await Database(pair.second).value("select 't'::regclass::oid::bigint")
    sleeper = Sleeper(Ids(oid, "public", "t", "id"), 0, asyncio.Event())
    with watch.asleep(sleeper):
        async with running(watch, BootWatch({"first": server}, [lender])):

            async def known() -> bool:
                return bool(lender.boot) and watch.silent_seconds == 0.0

            await until(known, "the watch to begin")
            before = lender.boot
            with capture_logs() as logs:
                proxy.move(pair.second)

                async def moved() -> bool:
                    return lender.boot != before and sleeper.news.is_set()

                await until(moved, "all to be woken")
            assert "another_boot_met" in {entry["event"] for entry in logs}
            sleeper.news.clear()

            async def woken() -> bool:
                await Database(pair.second).run("insert into t default values")
                return sleeper.news.is_set()

            await until(woken, "a row of the other server to wake")
    await lender.close()


async def test_who_has_learnt_something_of_the_server_before_is_refused(pair: Any, proxy: Proxy) -> None:
    server = Server("first", proxy.dsn)
    lender = lender_of(server, 2)
    access = await Lent.of(lender)
    proxy.move(pair.second)
    async with access.using():
        pass  # the move is not noticed yet
    async with running(BootWatch({"first": server}, [lender])):

        async def refused() -> bool:
            try:
                async with access.using():
                    return False
            except Unavailable:
                return True

        await until(refused, "the old server to be left")
    assert (await Lent.of(lender)).facts.boot == lender.boot
    await lender.close()


async def test_leases_are_kept_where_new_connections_go(pair: Any, proxy: Proxy) -> None:
    server = Server("first", proxy.dsn)
    lender = lender_of(server, 1)
    leases = Leases((server, server), {"first": lender}, "one", lambda *_: None)

    async def holder(dsn: str) -> bool:
        return bool(await Database(dsn).value("select count(*) = 1 from snk.leases where holder = 'one'"))

    async def known(dsn: str) -> bool:
        """This daemon believes that it holds the lease, so it does not take it there."""
        return bool(await Database(dsn).value("select count(*) from snk.leases"))

    taking = asyncio.create_task(leases.run())
    try:
        leases.admit("t")
        await until(lambda: holder(pair.first), "the lease to be taken")
        proxy.move(pair.second)
        async with running(BootWatch({"first": server}, [lender])):
            await until(lambda: known(pair.second), "the other server to be asked")
    finally:
        leases.close()
        await taking
        await lender.close()


async def test_an_address_that_leads_here_and_there_moves_nobody(
    pair: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise all sessions would end each time that the servers are met."""
    server = Server("first", proxy.dsn)
    lender = lender_of(server, 1)
    before = (await Lent.of(lender)).facts.boot
    met = BootWatch._met

    async def alternating(self: BootWatch, server: Server) -> str:
        found = await met(self, server)
        proxy.move(pair.second if found == before else pair.first)
        return found

    monkeypatch.setattr(BootWatch, "_met", alternating)
    with capture_logs() as logs:
        async with running(BootWatch({"first": server}, [lender])):

            async def told() -> bool:
                return "address_alternates" in {entry["event"] for entry in logs}

            await until(told, "it to be told")
    assert lender.boot == before
    await lender.close()
