"""However many tables there are, a daemon opens no more connections than it was allowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from snk.pair.core.budget import LEAST_CONNECTIONS
from snk.pair.doctor import examine
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.link import check_pair
from snk.pair.sync.pair import Pair
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import OFTEN, Limited, kept_running, until_healthy

TABLES = [f"t{at:02}" for at in range(20)]
MAKE = "create table {} (id bigserial primary key, uuid uuid not null unique, data text)"

INSERT = "insert into {} (uuid) values (gen_random_uuid())"


@asynccontextmanager
async def daemon_of(limited: Limited) -> AsyncIterator[Daemon]:
    """A daemon of this role that opens as many connections as it may."""
    stop = asyncio.Event()
    pair = Pair(*limited.servers, tuple(TABLES))
    daemon = Daemon(pair, Limits(connections=LEAST_CONNECTIONS), limited.urls.redis, sweeps=OFTEN)
    await daemon.wait_until_fit(stop, init=True)
    async with kept_running(daemon, stop):
        yield daemon


@pytest.mark.long
async def test_many_tables_flow_over_few_connections(limited: Limited, first: Database, second: Database) -> None:
    """The servers refuse any connection more, so one too many would be an error of a flow, a lease or a sweep."""
    by_role = Database(limited.urls.first), Database(limited.urls.second)
    for side in by_role:
        await side.run(*map(MAKE.format, TABLES))
    async with daemon_of(limited) as daemon:
        for table in TABLES:
            await insert(first, 3, table)
            await insert(second, 2, table)
        for table in TABLES:
            await until_equal(first, second, 5, table)
        await until_healthy(daemon)

        async def all_proven() -> bool:
            return all(sweep.proven_seconds is not None for sweep in daemon.status().sweeps)

        await until(all_proven, "all tables to be proven equal")
        assert [flow.error for flow in daemon.status().flows] == [""] * 2 * len(TABLES)
        assert [sweep.error for sweep in daemon.status().sweeps] == [""] * len(TABLES)


@pytest.mark.long
async def test_tables_that_are_locked_stop_no_other_table(limited: Limited, first: Database, second: Database) -> None:
    """Their statements would hold the one connection that all tables share, each for a minute."""
    for url in (limited.urls.first, limited.urls.second):
        await Database(url).run(*map(MAKE.format, TABLES))
    async with daemon_of(limited) as daemon:
        await until_healthy(daemon)
        async with first.connect() as locking:
            await locking.exec_driver_sql(f"lock table {', '.join(TABLES[:10])}")
            for side in (first, second):
                await side.run(*(INSERT.format(table) for table in TABLES[10:]))
            for table in TABLES[:10]:
                await second.run(INSERT.format(table))
            for table in TABLES[10:]:
                await until_equal(first, second, 2, table)
            await insert(first, 3, TABLES[10])
            await until_equal(first, second, 5, TABLES[10])
        for table in TABLES[:10]:
            await until_equal(first, second, 1, table)


async def test_a_role_that_may_have_fewer_connections_is_refused_in_words(limited: Limited) -> None:
    found = [str(fault) for fault in await check_pair(*limited.servers, ())]
    assert sum(f"allows this role {LEAST_CONNECTIONS} connections; SNK opens 8" in fault for fault in found) == 2
    assert all(f"Set SNK_CONNECTIONS to {LEAST_CONNECTIONS}" in fault for fault in found if "allows" in fault)
    found = [str(fault) for fault in await check_pair(*limited.servers, (), LEAST_CONNECTIONS)]
    assert not any("allows" in fault for fault in found)


async def test_doctor_tells_how_many_connections_the_servers_allow(pair: Any, limited: Limited) -> None:
    findings = [each async for each in examine(Pair(*limited.servers, ()), pair.redis)]
    assert sum(f"allows this role {LEAST_CONNECTIONS} connections" in each.message for each in findings) == 2
