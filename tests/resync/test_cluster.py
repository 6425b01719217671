"""The counters in a cluster of three nodes: the same checks, the same repairs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio.cluster import RedisCluster

from snk.embedded.valkey import ValkeyServer
from snk.errors import SnkError, Unavailable
from tests.kit.assignments import World
from tests.kit.assignments import world as made
from tests.kit.cluster import valkey_cluster


@pytest.fixture(scope="module")
def nodes(folder: Path) -> Iterator[list[ValkeyServer]]:
    """Three primaries."""
    with valkey_cluster(folder / "cluster") as cluster:
        yield cluster


@pytest.fixture
async def world(database: str, nodes: list[ValkeyServer]) -> AsyncIterator[World]:
    """The four tables, and an empty cluster."""
    async with made(database, nodes[0].dsn) as here, RedisCluster.from_url(nodes[0].dsn) as cluster:
        await cluster.flushall(target_nodes=RedisCluster.PRIMARIES)
        here.redis = cluster
        yield here


async def test_counters_on_all_nodes_are_checked_and_repaired(world: World) -> None:
    await world.project("P", "1", 7)
    await world.rows("P", 7, *((source, 1 + source % 3) for source in range(1, 41)))
    await world.counters(**{f"maic_7_{source}": 1 for source in range(3, 61)})
    await world.redis.hset("mapc_7_1", "a", "1")
    await world.redis.set("mapc_7_2", 1, ex=1000)
    await world.redis.set("maic_7_70", "x")
    checked = await world.check()
    assert [each.source for each in checked.differences if each.kind == "missing"] == list(range(41, 61))
    assert [each.key for each in checked.differences if each.kind == "absent"] == ["maic_7_1", "maic_7_2", "mapc_7_3"]
    assert sorted(checked.unreadable) == ["maic_7_70", "mapc_7_1"]
    assert list(checked.expiring) == ["mapc_7_2"]
    _, checked = await world.repair()
    assert not checked.differences
    assert await world.redis.get("mapc_7_2") == b"40"
    assert await world.redis.ttl("mapc_7_2") > 900
    assert len(await world.held(7)) == 60


async def test_single_assignment_is_repaired(world: World) -> None:
    await world.project("P", "0", 7, 8, 9)
    for task in (7, 8, 9):
        await world.rows("P", task, (1, 1), (4, 1))
        await world.counters(**{f"sasp_{task}": task - 5})
    _, checked = await world.repair()
    assert checked.equal
    assert [await world.redis.get(f"sasp_{task}") for task in (7, 8, 9)] == [b"4", b"4", b"4"]


async def test_a_moved_slot_is_no_difference(world: World, nodes: list[ValkeyServer]) -> None:
    """A client that knows nothing of the move is redirected, and finds the counter where it is now."""
    await world.project("P", "0", 7)
    await world.rows("P", 7, (1, 1))
    await world.counters(sasp_7=1)
    slot = world.redis.keyslot("sasp_7")
    here = world.redis.get_node_from_key("sasp_7")
    there = next(node for node in nodes if node.port != here.port)
    ids = {node.port: await node_id(world, node.port) for node in nodes}
    at_here, at_there = (world.redis.get_node("127.0.0.1", port) for port in (here.port, there.port))
    await world.redis.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[here.port], target_nodes=at_there)
    await world.redis.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[there.port], target_nodes=at_here)
    command = ("MIGRATE", "127.0.0.1", there.port, "sasp_7", 0, 5000)
    await at_here.execute_command(*command)
    assert (await world.check()).equal  # it is asked for where it is going
    for node in (at_there, at_here):
        await world.redis.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[there.port], target_nodes=node)
    assert (await world.check()).equal


async def node_id(world: World, port: int) -> str:
    """The id of a node."""
    told = await world.redis.execute_command("CLUSTER MYID", target_nodes=world.redis.get_node("127.0.0.1", port))
    return str(told, "ascii") if isinstance(told, bytes) else str(told)


async def test_a_node_that_does_not_answer_is_trouble_and_no_difference(
    world: World, nodes: list[ValkeyServer]
) -> None:
    await world.project("P", "1", 7)
    await world.rows("P", 7, *((source, 1) for source in range(1, 30)))
    await world.counters(**{f"maic_7_{source}": 1 for source in range(1, 30)}, mapc_7_1=29)
    assert (await world.check()).equal
    nodes[2].kill()
    try:
        with pytest.raises(SnkError) as raised:
            await world.check()
        assert isinstance(raised.value, Unavailable)
    finally:
        nodes[2].start()
