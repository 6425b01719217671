"""The doctor names what is likely wrong."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from snk.core.finding import Finding
from snk.resync.doctor import examine
from tests.kit.assignments import World


async def found(world: World, **names: Any) -> list[Finding]:
    """What the doctor says."""
    return [finding async for finding in examine(world.place(**names))]


async def filled(world: World) -> None:
    """A project of each method, with its counters."""
    await world.project("P", "0", 7)
    await world.rows("P", 7, (1, 1))
    await world.project("Q", "1", 8)
    await world.rows("Q", 8, (1, 1))
    await world.counters(sasp_7=1, maic_8_1=1, mapc_8_1=1)


async def test_it_finds_nothing_wrong_where_nothing_is(world: World) -> None:
    await filled(world)
    findings = await found(world)
    assert {finding.level for finding in findings if "journal" not in finding.message} == {"ok"}


async def test_lacking_rights_are_named(world: World) -> None:
    await filled(world)
    await world.do("drop role if exists reader")
    await world.do(f"create role reader login password '{sa.make_url(world.dsn).password}'")
    await world.do("grant select on all tables in schema public to reader")
    reader = sa.make_url(world.dsn).set(username="reader").render_as_string(hide_password=False)
    findings = [finding async for finding in examine(replace(world.place(), database=reader))]
    told = [finding.message for finding in findings if finding.level == "warning"]
    assert told[:2] == [
        "the role lacks the right INSERT on tb_prj_data",
        "the role lacks the right INSERT on tb_tmpl_img_label_data",
    ]
    await world.do("revoke select on tb_prj_mst from reader")
    findings = [finding async for finding in examine(replace(world.place(), database=reader))]
    assert "the role lacks the right SELECT on tb_prj_mst" in [each.message for each in findings]
    await world.do("drop owned by reader")
    await world.do("drop role reader")


async def test_similar_keys_tell_a_wrong_prefix(world: World) -> None:
    await filled(world)
    last = (await found(world, key_prefix="app:"))[-1]
    assert last.level == "error"
    assert "none of 2 counters exists" in last.message
    assert "similar keys do: " in last.message
    assert "key_prefix" in last.advice


async def test_keys_in_another_database_tell_a_wrong_number(world: World) -> None:
    await filled(world)
    await world.redis.flushall()
    async with Redis.from_url(world.redis_url.removesuffix("0") + "3") as other:
        await other.set("sasp_7", 1)
    last = (await found(world))[-1]
    assert last.level == "warning"
    assert "databases 3 hold keys" in last.message


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ({"row": {"table": "nowhere"}}, "no table nowhere. Create it, or fix `table` in [resync.row]"),
        ({"row": {"source": "nothing"}}, "resync.row.source is 'nothing', and tb_prj_data has no such column"),
        ({"in_process": ("A",), "state": {"column": "nothing"}}, "resync.state.column is 'nothing'"),
    ],
)
async def test_a_missing_table_or_column_is_named(world: World, names: dict[str, Any], why: str) -> None:
    (last,) = [finding for finding in await found(world, **names) if finding.level == "error"]
    assert why in last.message


async def test_a_replica_is_refused(world: World) -> None:
    await world.redis.replicaof("127.0.0.1", "1")
    try:
        (last,) = await found(world)
    finally:
        await world.redis.replicaof("NO", "ONE")
    assert (last.level, "is a replica" in last.message) == ("error", True)
