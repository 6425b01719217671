"""Hostile writers on both sides; whatever befalls SNK meanwhile, both sides end up as the books say."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from snk.pair.servers import EmbeddedPair
from tests.kit.adversary import KINDS, attack
from tests.kit.daemons import DaemonProcess
from tests.kit.databases import Database, until_equal

Mischief = Callable[[DaemonProcess, float, random.Random], Awaitable[None]]


@pytest.fixture
def seed(run: int) -> int:
    """A number from which everything random follows; it is printed when the test fails."""
    return run


async def trial(pair: Any, seconds: float, seed: int, mischief: Mischief | None) -> None:
    """Let the writers loose while mischief is done to the daemon, then compare with the books, row by row."""
    first, second = Database(pair.first), Database(pair.second)
    with DaemonProcess(pair) as daemon:
        await table_is_there(first)
        await table_is_there(second)
        attacking = asyncio.create_task(attack(first, second, seconds, seed))
        if mischief:
            await mischief(daemon, time.monotonic() + seconds, random.Random(seed))
        books = await attacking
        if not daemon.running:
            daemon.start()
        try:
            await until_equal(first, second, books.committed.total())
        finally:
            print(f"seed {seed}", dict(books.transactions), daemon.log[-3000:])
        assert await first.contents() == books.committed == await second.contents()
        assert books.committed.total() == len(books.committed), "a row is there twice"
        assert await first.value("select count(*) from snk.conflicts") == 0
        assert set(books.transactions) >= set(KINDS) - {"rollback"}
        await daemon.until_flowing()
        assert daemon.stop() == 0


async def table_is_there(side: Database) -> None:
    while not await side.value("select to_regclass('records') is not null and to_regclass('snk.marks') is not null"):
        await asyncio.sleep(0.01)


async def kill_again_and_again(daemon: DaemonProcess, until: float, chance: random.Random) -> None:
    while time.monotonic() < until:
        await asyncio.sleep(chance.uniform(1.0, 3.0))
        daemon.kill()
        daemon.start()


def redis_trouble(servers: EmbeddedPair) -> Mischief:
    async def trouble(_: DaemonProcess, until: float, chance: random.Random) -> None:
        while time.monotonic() < until:
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            async with Redis.from_url(servers.redis.dsn) as redis:
                await redis.flushall()
            await asyncio.sleep(chance.uniform(0.2, 1.0))
            servers.redis.kill()
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            servers.redis.start()

    return trouble


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """How long the writers write."""
    return float(request.config.getoption("--seconds"))


@pytest.mark.long
async def test_adversarial_writers_lose_nothing(pair: Any, seconds: float, seed: int) -> None:
    await trial(pair, seconds, seed, None)


async def test_adversarial_writers_lose_nothing_when_the_daemon_is_killed(pair: Any, seconds: float, seed: int) -> None:
    await trial(pair, seconds, seed, kill_again_and_again)


@pytest.mark.long
async def test_adversarial_writers_lose_nothing_when_redis_is_flushed_and_killed(
    pair: Any, servers: EmbeddedPair, seconds: float, seed: int
) -> None:
    await trial(pair, seconds, seed, redis_trouble(servers))


@pytest.mark.long
async def test_adversarial_writers_lose_nothing_when_a_server_crashes(
    own_pair: Any, own_servers: EmbeddedPair, seconds: float, seed: int
) -> None:
    async def crash(_: DaemonProcess, until: float, chance: random.Random) -> None:
        while time.monotonic() < until - 1.0:
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            server = chance.choice([own_servers.first, own_servers.second])
            await asyncio.to_thread(server.stop, "immediate")
            server.start()

    await trial(own_pair, seconds, seed, crash)
