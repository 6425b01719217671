"""Whatever Redis does, rows are neither delayed nor lost, and status says so."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from snk.pair.dedup import redis_store as redis_store_module
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import RedisStore
from tests.kit.databases import Database, insert, until, until_equal
from tests.kit.proxy import proxied
from tests.pair.sync.faults import daemon_over, goes_on, until_running

Spoil = Callable[[Redis], Awaitable[Any]]
SPOILT: dict[str, tuple[Spoil, str]] = {
    "full": (lambda redis: redis.config_set("maxmemory", "1"), "OOM|maxmemory"),
    "a replica": (lambda redis: redis.replicaof("127.0.0.1", "1"), "read only replica"),
}


@pytest.mark.parametrize("how", SPOILT)
async def test_a_redis_that_takes_no_notes_is_told_of_until_it_does(pair: Any, how: str) -> None:
    spoil, words = SPOILT[how]
    behind, known = RedisStore(pair.redis), DedupSet(1000)
    behind.attach("records", known)
    known.anchor("boot")
    async with Redis.from_url(pair.redis) as redis, AsyncExitStack() as stack:
        await spoil(redis)
        await stack.enter_async_context(behind)
        known.note([str(uuid4())], "boot")
        with pytest.raises(Exception, match=words):
            await behind._flush("records", known)
        await redis.replicaof("NO", "ONE")
        await redis.config_set("maxmemory", "0")
        await behind._flush("records", known)
        assert len(await redis.keys("snk:known:*")) == 1
        (key,) = await redis.keys("snk:known:*")
        assert await redis.hlen(key) == 1, "the proof leaves nothing behind"


@pytest.mark.long
@pytest.mark.parametrize("how", SPOILT)
async def test_rows_cross_beside_a_redis_that_takes_no_notes(
    pair: Any, first: Database, second: Database, how: str
) -> None:
    spoil, _ = SPOILT[how]
    async with Redis.from_url(pair.redis) as redis:
        await spoil(redis)
        async with daemon_over(pair.first, pair.second, pair.redis) as daemon:
            await goes_on(daemon, first, second, 0)
        await redis.replicaof("NO", "ONE")


@pytest.mark.long
async def test_rows_cross_while_redis_forgets_what_it_likes(pair: Any, first: Database, second: Database) -> None:
    async with Redis.from_url(pair.redis) as redis:
        await redis.config_set("maxmemory-policy", "allkeys-random")
        await redis.config_set("maxmemory", "2mb")
        async with daemon_over(pair.first, pair.second, pair.redis) as daemon:
            await insert(first, 2000)
            await goes_on(daemon, first, second, 2000)
            for number in range(30):
                await redis.set(f"others:{number}", b"x" * 100_000)
            await goes_on(daemon, first, second, 2006)
        async with daemon_over(pair.first, pair.second, pair.redis) as daemon:
            await goes_on(daemon, first, second, 2012)


async def says(daemon: Any) -> bool:
    return bool(daemon.status().dedup.error)


@pytest.mark.long
@pytest.mark.parametrize("how", ["silent", "slow"])
async def test_a_redis_that_answers_late_or_never_delays_no_row(
    pair: Any, first: Database, second: Database, how: str
) -> None:
    async with proxied(pair.redis) as redis:
        if how == "silent":
            redis.hold()
        else:
            redis.delay(3.0)
        async with daemon_over(pair.first, pair.second, redis.dsn) as daemon:
            await insert(first, 5)
            await until_equal(first, second, 5)
            await until_running(daemon)
            await until(lambda: says(daemon), "what is wrong with Redis")
            redis.delay(0.0)
            redis.release()
            await until(lambda: found(daemon), "Redis again")
            await goes_on(daemon, first, second, 5)


async def found(daemon: Any) -> bool:
    return bool(daemon.status().dedup.redis)


@pytest.mark.long
async def test_waiting_for_redis_would_delay_rows(
    pair: Any, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: where what Redis remembers is waited for, rows wait too."""
    monkeypatch.setattr(redis_store_module, "RESTORE_SECONDS", 60.0)
    monkeypatch.setattr(redis_store_module, "RETRY_SECONDS", 4.0)
    async with proxied(pair.redis) as redis:
        redis.hold()
        async with daemon_over(pair.first, pair.second, redis.dsn):
            await insert(first, 5)
            with pytest.raises(AssertionError, match="waited in vain"):
                await until_equal(first, second, 5, deadline_seconds=2.0)


@pytest.mark.long
async def test_a_redis_that_is_killed_costs_no_row(own_pair: Any, own_servers: Any) -> None:
    first, second = Database(own_pair.first), Database(own_pair.second)
    async with daemon_over(own_pair.first, own_pair.second, own_pair.redis) as daemon:
        await insert(first, 50)
        own_servers.redis.kill()
        await insert(first, 50)
        await goes_on(daemon, first, second, 100)
        await until(lambda: says(daemon), "that Redis is gone")
        own_servers.redis.start()
        await until(lambda: found(daemon), "Redis again")
        await goes_on(daemon, first, second, 106)
