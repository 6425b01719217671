"""Whatever the network does, rows and mark stay together, and the flow says what it waits for and goes on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from snk.db.server import Server
from snk.pair.core.budget import LEAST_CONNECTIONS
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.job import STOP_SECONDS
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from tests.kit.databases import Database, insert, until, until_equal
from tests.kit.proxy import Proxy, proxied
from tests.pair.sync.faults import QUICK, daemon_over, goes_on, until_running, until_says

NEEDLE = "insert into records (uuid, data) values (gen_random_uuid(), 'needle')"
# The words of the careful way, in the order in which they are sent.
CAREFUL = (b"ON CONFLICT (uuid) DO NOTHING", b"COMMIT")


@dataclass
class Network:
    """The two servers, each behind a proxy, and Redis."""

    first: Proxy
    second: Proxy
    redis: str

    @property
    def urls(self) -> tuple[str, str, str]:
        return self.first.dsn, self.second.dsn, self.redis


@pytest.fixture
async def network(pair: Any) -> AsyncIterator[Network]:
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(proxied(dsn)) for dsn in (pair.first, pair.second)]
        yield Network(first, second, pair.redis)


async def has_needle(side: Database) -> bool:
    return bool(await side.value("select count(*) = 1 from records where data = 'needle'"))


@pytest.mark.long
async def test_a_connection_cut_before_the_rows_are_sent(network: Network, first: Database, second: Database) -> None:
    async with daemon_over(*network.urls) as daemon:
        await until_running(daemon)
        happened = network.second.when_sent(b"needle", pass_on=False, then="cut")
        await first.run(NEEDLE)
        await happened.wait()
        await until_equal(first, second, 1)
        await goes_on(daemon, first, second, 1)
        assert daemon.status().flows[0].error


@pytest.mark.long
async def test_a_connection_cut_while_the_server_commits(network: Network, first: Database, second: Database) -> None:
    async with daemon_over(*network.urls) as daemon:
        await until_running(daemon)
        happened = network.second.when_sent(b"needle", pass_on=True, then="cut")
        await first.run(NEEDLE)
        await happened.wait()
        await until_equal(first, second, 1)
        await goes_on(daemon, first, second, 1)
        assert daemon.status().flows[0].error


@pytest.mark.long
async def test_rows_whose_commit_was_never_heard_of_are_there_once(
    network: Network, first: Database, second: Database
) -> None:
    async with daemon_over(*network.urls, answer_seconds=600.0) as daemon:
        await until_running(daemon)
        network.second.when_sent(b"needle", pass_on=True, then="swallow")
        await first.run(NEEDLE)
        await until(lambda: has_needle(second), "the row, committed")
        assert daemon.status().flows[0].delivered == 0
        network.second.cut()
        await goes_on(daemon, first, second, 1)
        assert daemon.status().flows[0].delivered == 3, "the row was there, and its mark with it"


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_a_transaction_cut_at_its_commit(network: Network, first: Database, second: Database, when: str) -> None:
    """The careful way writes in a transaction of several statements: its COMMIT is lost, raced, or never answered."""
    async with daemon_over(*network.urls) as daemon:
        await until_running(daemon)  # makes the table, and the marks
    await first.run(NEEDLE)
    (uuid,) = (await first.rows("select uuid from records"))[0]
    await second.run(f"insert into records (uuid, data) values ('{uuid}', 'needle')")
    # Whoever met it there first would take it for an echo here.
    await first.run("update snk.marks set high = 1, safe = 1, version = version + 1")
    await insert(first, 5)
    happened = network.second.when_sent(
        *CAREFUL, pass_on=when != "before", then="swallow" if when == "after" else "cut"
    )
    async with daemon_over(*network.urls, init=False, answer_seconds=600.0) as daemon:
        await happened.wait()
        if when == "after":
            await until(lambda: has_rows(second, 6), "the rows, committed")
            network.second.cut()
        await until_equal(first, second, 6)
        await goes_on(daemon, first, second, 6)


async def has_rows(side: Database, rows: int) -> bool:
    return bool(await side.value("select count(*) from records") == rows)


@pytest.mark.long
async def test_a_connection_without_packets_is_noticed_and_waited_for(
    network: Network, first: Database, second: Database
) -> None:
    """Half-open: no packet any more in either direction, new connections are taken and never answered."""
    async with daemon_over(*network.urls, connect_seconds=1.0) as daemon:
        await until_running(daemon)
        network.second.hold()
        await insert(first, 10)
        for flow in (0, 1):
            await until_says(daemon, "second (127.0.0.1", flow=flow)
            assert "no answer within 1.0 s" in daemon.status().flows[flow].error
        network.second.cut()
        network.second.release()
        await until_equal(first, second, 10)
        await goes_on(daemon, first, second, 10)


@pytest.mark.long
@pytest.mark.parametrize("side", ["first", "second"])
async def test_connections_that_a_firewall_forgot_are_noticed_by_asking(
    network: Network, first: Database, second: Database, side: str
) -> None:
    with capture_logs() as logs:
        async with daemon_over(*network.urls) as daemon:
            await until_running(daemon)
            getattr(network, side).forget()
            await insert(first, 10)
            await insert(second, 10)
            await until_equal(first, second, 20)
            await goes_on(daemon, first, second, 20)
    # The first who asks notices: a flow, or what watches over all of them.
    assert any(f"{side} (" in said and "or its answer was lost" in said for said in map(str, logs)), logs


@pytest.mark.long
async def test_a_statement_has_a_deadline_whatever_else_is_known(
    network: Network, first: Database, second: Database
) -> None:
    """The server committed, SNK never heard, nobody closes the connection, and the server is not asked."""
    async with daemon_over(*network.urls, command_seconds=2.0, answer_seconds=600.0) as daemon:
        await until_running(daemon)
        network.second.when_sent(b"needle", pass_on=True, then="swallow")
        await first.run(NEEDLE)
        await until_says(daemon, "a statement took longer than 2.0 s")
        await goes_on(daemon, first, second, 1)


@pytest.mark.long
async def test_connections_without_deadlines_would_hang(network: Network, first: Database, second: Database) -> None:
    """The tests above can fail: where nothing has a deadline, a dead connection is waited on for ever."""
    async with daemon_over(
        *network.urls,
        answer_seconds=600.0,
        command_seconds=None,
        connections=LEAST_CONNECTIONS,  # with more, others are opened
    ) as daemon:
        await until_running(daemon)
        network.second.forget()
        await insert(first, 10)
        with pytest.raises(AssertionError, match="waited in vain"):
            await until_equal(first, second, 10, deadline_seconds=3.0)


async def test_a_statement_at_work_is_not_taken_for_lost(pair: Any) -> None:
    server = Server("first", pair.first, answer_seconds=0.1)
    async with server.connect() as connection, server.answering(connection):
        await connection.execute(sa.select(sa.func.pg_sleep(1.0)))


@pytest.mark.long
async def test_servers_silent_at_the_start_are_waited_for(network: Network, first: Database, second: Database) -> None:
    network.first.hold()
    servers = Pair(
        Server("first", network.first.dsn, connect_seconds=0.5), Server("second", network.second.dsn), ("records",)
    )
    daemon, stop = Daemon(servers, Limits(), network.redis), asyncio.Event()
    waiting = asyncio.create_task(daemon.wait_until_fit(stop, init=True))

    async def told() -> bool:
        return "first" in daemon.status().troubles[0] and "no answer within 0.5 s" in daemon.status().troubles[0]

    await until(told, "what it waits for")
    network.first.release()
    await waiting
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(stop))
        await insert(first, 1)
        await insert(second, 1)
        await until_equal(first, second, 2)
        stop.set()


async def test_a_server_that_answers_rubbish_is_waited_for(pair: Any) -> None:
    async def rubbish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
        writer.close()

    async with await asyncio.start_server(rubbish, "127.0.0.1", 0) as listening:
        dsn = f"postgresql://u:p@127.0.0.1:{listening.sockets[0].getsockname()[1]}/d"
        daemon = Daemon(Pair(Server("first", dsn), Server("second", pair.second), ("records",)), Limits(), pair.redis)
        stop = asyncio.Event()
        waiting = asyncio.create_task(daemon.wait_until_fit(stop))

        async def told() -> bool:
            assert not waiting.done(), waiting.exception()
            return "first" in "".join(daemon.status().troubles)

        await until(told, "what it waits for")
        stop.set()
        await waiting


@pytest.mark.long
async def test_a_daemon_stops_soon_where_nobody_answers(network: Network, first: Database) -> None:
    async with proxied(network.redis) as redis:
        async with daemon_over(network.first.dsn, network.second.dsn, redis.dsn, **QUICK) as daemon:
            await until_running(daemon)
            for proxy in (network.first, network.second, redis):
                proxy.hold()
            await insert(first, 10)
            began = time.monotonic()
        assert time.monotonic() - began < STOP_SECONDS + 15.0


@pytest.mark.long
async def test_connections_refused_for_a_while_are_waited_for(
    network: Network, first: Database, second: Database
) -> None:
    async with daemon_over(*network.urls) as daemon:
        await until_running(daemon)
        network.first.refuse()
        network.first.cut()
        await insert(first, 5)
        for flow in (0, 1):
            await until_says(daemon, "first (127.0.0.1", flow=flow)
        network.first.refuse(refusing=False)
        await goes_on(daemon, first, second, 5)
