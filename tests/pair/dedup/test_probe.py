"""Doctor asks of Redis what the daemon asks, says in Redis's words what is in the way, and leaves nothing there."""

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from snk.core.finding import Finding
from snk.db.server import Server
from snk.embedded.binaries import valkey_folder
from snk.embedded.process import free_port
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.probe import COMMANDS, LEFT_SECONDS
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.doctor.redis import WITHOUT, of_redis
from snk.pair.sync.pair import Pair
from tests.kit.databases import until

PAIR = Pair(Server("first", "postgresql://one/a"), Server("second", "postgresql://two/b"), ("records", "lines"))
RULES = ["~snk:known:*", *(f"+{command.lower()}" for command in COMMANDS)]


async def said(dsn: str) -> Finding:
    (finding,) = [finding async for finding in of_redis(PAIR, dsn)]
    return finding


@asynccontextmanager
async def looked_at(dsn: str) -> AsyncIterator[Redis]:
    """Redis for the test's own hands; at the end it holds no key that was not there before."""
    async with Redis.from_url(dsn) as redis:
        yield redis
        assert await redis.keys("*") == []


def as_user(dsn: str) -> str:
    return dsn.replace("redis://", "redis://snk:hush@")


async def allow(redis: Redis, *rules: str) -> None:
    await redis.execute_command("ACL", "SETUSER", "snk", "reset", "on", ">hush", *rules)


async def test_a_redis_that_takes_notes_is_well_and_none_is_left(pair: Any) -> None:
    async with looked_at(pair.redis):
        assert await said(pair.redis) == Finding("ok", "redis", "it stores and returns entries")


async def test_the_commands_that_doctor_tries_are_all_that_the_daemon_needs(pair: Any) -> None:
    async with looked_at(pair.redis) as redis:
        await allow(redis, *RULES)
        assert (await said(as_user(pair.redis))).level == "ok"
        store, known = RedisStore(as_user(pair.redis)), DedupSet(1000)
        store.attach(PAIR.notes_name("records", PAIR.first), known)
        known.anchor("boot")
        async with store:
            await store.restore(PAIR.notes_name("records", PAIR.first), holds_all)
            known.note([str(uuid4())], "boot")
            store._stale.update(store._sets)
            await store._flush(PAIR.notes_name("records", PAIR.first), known)
        assert len(await redis.keys("snk:known:*")) == 1, "what it noted"
        store = RedisStore(as_user(pair.redis))
        store.attach(PAIR.notes_name("records", PAIR.first), known)
        async with store:
            assert await store.restore(PAIR.notes_name("records", PAIR.first), holds_all) == 1, "what it remembers"
        await redis.flushall()


async def holds_all(uuids: Any) -> frozenset[str]:
    return frozenset(uuids)


@pytest.mark.parametrize("command", COMMANDS)
async def test_each_right_that_is_missing_is_told_in_the_words_of_redis(pair: Any, command: str) -> None:
    async with looked_at(pair.redis) as redis:
        await allow(redis, *(rule for rule in RULES if rule != f"+{command.lower()}"))
        found = await said(as_user(pair.redis))
        assert found.level == "warning"
        refused = f"User snk has no permissions to run the '{command.lower()}' command"
        assert found.message == f"it refuses SNK's commands: {refused}"
        assert found.advice == f"Allow its user to run {', '.join(COMMANDS)} on the keys snk:known:*. {WITHOUT}"


def full(redis: Redis) -> Awaitable[Any]:
    return redis.config_set("maxmemory", "1")


def replica(redis: Redis) -> Awaitable[Any]:
    return redis.replicaof("127.0.0.1", "1")


def keyless(redis: Redis) -> Awaitable[Any]:
    return allow(redis, "allcommands", "~other:*")


def unknown(redis: Redis) -> Awaitable[Any]:
    return redis.config_set("requirepass", "other")


SPOILT: dict[str, tuple[Callable[[Redis], Awaitable[Any]], str, str]] = {
    "full": (full, "command not allowed when used memory > 'maxmemory'", "Increase maxmemory"),
    "a replica": (replica, "You can't write against a read only replica", "Point REDIS_URL to the primary"),
    "without rights to the keys": (keyless, "No permissions to access a key", "Allow its user to run PING"),
    "without such a user": (unknown, "invalid username-password pair", "Set the user and password in REDIS_URL"),
}


@pytest.mark.parametrize("how", SPOILT)
async def test_a_redis_that_takes_no_notes_is_told_with_what_to_do(pair: Any, how: str) -> None:
    spoil, words, advice = SPOILT[how]
    async with looked_at(pair.redis) as redis:
        try:
            await spoil(redis)
            found = await said(as_user(pair.redis) if how.startswith("without") else pair.redis)
        finally:
            for undo in (
                redis.replicaof("NO", "ONE"),
                redis.config_set("maxmemory", "0"),
                redis.config_set("requirepass", ""),
            ):
                await undo
    assert found.level == "warning"
    assert f"it refuses SNK's commands: {words}" in found.message
    assert found.advice.startswith(advice)
    assert found.advice.endswith(WITHOUT)
    assert "hush" not in str(found)


@contextmanager
def cluster(folder: Path, number: int) -> Iterator[str]:
    """A Valkey in cluster mode that nobody gave any slots; yields its URL."""
    own = folder / f"node{number}"
    own.mkdir()
    port, bus = free_port(), free_port()
    program = valkey_folder(folder, None) / "valkey-server"
    command = [
        str(program),
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--dir",
        str(own),
        "--save",
        "",
        "--cluster-enabled",
        "yes",
    ]
    process = subprocess.Popen([*command, "--cluster-port", str(bus)], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


async def until_up(redis: Redis) -> None:
    async def up() -> bool:
        with suppress(RedisError, OSError):
            return bool(await redis.ping())
        return False

    await until(up, "a Valkey in cluster mode")


async def until_served(*nodes: Redis) -> None:
    async def served() -> bool:
        return all(["cluster_state:ok" in str(await node.execute_command("CLUSTER", "INFO")) for node in nodes])

    await until(served, "the cluster to be well")


@pytest.mark.long
async def test_a_cluster_of_which_it_has_not_all_slots_is_told(tmp_path: Path) -> None:
    with cluster(tmp_path, 1) as dsn, cluster(tmp_path, 2) as other:
        async with Redis.from_url(dsn) as one, Redis.from_url(other) as two:
            await until_up(one)
            await until_up(two)
            found = await said(dsn)
            assert "it refuses SNK's commands: Hash slot not served" in found.message
            assert "Point REDIS_URL to a server that is not part of a cluster" in found.advice
            await one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            await until_served(one)
            assert (await said(dsn)).level == "ok", "it has all of them"
            await one.execute_command("CLUSTER", "DELSLOTSRANGE", 0, 16382)
            await two.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16382)
            port, bus = urlsplit(other).port, int((await two.config_get("cluster-port"))["cluster-port"] or 0)
            await one.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
            await until_served(one, two)
            assert "it refuses SNK's commands: MOVED" in (await said(dsn)).message
            assert [await one.dbsize(), await two.dbsize()] == [0, 0]


async def test_should_it_die_in_between_what_it_left_goes_by_itself(pair: Any) -> None:
    assert 0 < LEFT_SECONDS <= 60
    async with looked_at(pair.redis) as redis, redis.monitor() as seen:
        await said(pair.redis)
        await redis.echo("done")
        order: list[str] = []
        while "ECHO" not in (command := (await seen.next_command())["command"]):
            order.append(command.split()[0])
    assert [order[at + 1] for at, command in enumerate(order) if command == "HSET"] == ["EXPIRE"] * order.count("HSET")
    assert order.count("HSET") >= 16
