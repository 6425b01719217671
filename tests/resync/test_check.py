"""What a check finds on real servers: every way in which counters and rows can differ."""

import asyncio
from typing import Any

import pytest

from snk.errors import ProjectUnfit
from snk.resync.check import Checked
from snk.resync.report import as_json, lines
from snk.resync.run import sides
from tests.kit.assignments import World, assign


def found(checked: Checked) -> list[tuple[str, str, int | None, int]]:
    """Kind, key, and both sides of each difference."""
    return [(each.kind, each.key, each.redis, each.database) for each in checked.differences]


def missing(checked: Checked) -> list[int | None]:
    """The sources that have no row."""
    return [each.source for each in checked.differences if each.kind == "missing"]


async def single(world: World, *sources: int, **counters: int | str) -> Checked:
    """Check task 7 with these rows and counters."""
    await world.project("P", "0", 7)
    await world.rows("P", 7, *((source, 1) for source in sources))
    await world.counters(**counters)
    return await world.check()


async def test_equal_sides_are_equal(world: World) -> None:
    checked = await single(world, 1, 2, 3, sasp_7=3)
    assert checked.equal
    assert not checked.differences
    assert checked.held.tasks[0].states == {"WORK_END": 3}


async def test_a_task_without_rows_and_without_a_counter_is_equal(world: World) -> None:
    assert (await single(world)).equal


async def test_an_empty_table_with_a_counter_lacks_all_rows(world: World) -> None:
    assert missing(await single(world, sasp_7=3)) == [1, 2, 3]


async def test_rows_missing_at_the_head_inside_and_at_the_tail_are_found(world: World) -> None:
    assert missing(await single(world, 2, 4, sasp_7=6)) == [1, 3, 5, 6]


async def test_a_pointer_that_fits_the_number_of_rows_hides_no_missing_source(world: World) -> None:
    checked = await single(world, 1, 2, 2, 4, 5, sasp_7=5)
    assert [(each.kind, each.source, each.database) for each in checked.differences] == [
        ("duplicate", 2, 2),
        ("missing", 3, 0),
    ]


async def test_a_pointer_behind_is_raised_to_the_greatest_source_not_to_the_number_of_rows(world: World) -> None:
    checked = await single(world, 1, 2, 9, sasp_7=2)
    assert ("behind", "sasp_7", 2, 9) in found(checked)
    assert missing(checked) == [3, 4, 5, 6, 7, 8]


async def test_an_absent_pointer_is_a_difference(world: World) -> None:
    assert found(await single(world, 1, 2)) == [("absent", "sasp_7", None, 2)]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "value", ["10 ", "1e3", "-1", "+5", "05", "", "9223372036854775808", "5\n", b"\xff\x00", "\u0665", "1.0"]
)
async def test_a_value_that_is_no_count_is_unreadable(world: World, value: str | bytes) -> None:
    await world.redis.set("sasp_7", value)
    checked = await single(world, 1, 2)
    assert list(checked.unreadable) == ["sasp_7"]
    assert not checked.differences
    assert not checked.equal


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["hash", "list", "set", "zset", "stream"])
async def test_a_key_of_another_type_is_unreadable_and_not_absent(world: World, kind: str) -> None:
    for key in ("sasp_7", "maic_8_1", "mapc_8_1"):
        await {
            "hash": lambda key: world.redis.hset(key, "a", "1"),
            "list": lambda key: world.redis.rpush(key, "1"),
            "set": lambda key: world.redis.sadd(key, "1"),
            "zset": lambda key: world.redis.zadd(key, {"a": 1}),
            "stream": lambda key: world.redis.xadd(key, {"a": "1"}),
        }[kind](key)
    checked = await single(world, 1, 2)
    assert checked.unreadable == {"sasp_7": f"it is a {kind}, not a string"}
    await world.project("Q", "1", 8)
    await world.rows("Q", 8, (1, 1), (2, 2))
    checked = await world.check("Q")
    assert sorted(checked.unreadable) == ["maic_8_1", "mapc_8_1"]
    assert found(checked) == [("absent", "maic_8_2", None, 1), ("absent", "mapc_8_2", None, 2)]


async def test_the_greatest_value_of_a_counter_is_readable(world: World) -> None:
    checked = await single(world, 1, sasp_7=2**63 - 1)
    assert found(checked) == [("too_many", "sasp_7", 2**63 - 1, 1)]
    assert not checked.actions()


async def test_a_counter_with_a_prefix_is_found_only_under_it(world: World) -> None:
    await world.counters(**{"app:sasp_7": 2, "sasp_7": 9})
    await single(world, 1, 2)
    assert (await world.check(key_prefix="app:")).equal
    assert not (await world.check()).equal


async def test_a_prefix_may_hold_what_a_pattern_would_understand(world: World) -> None:
    await world.project("P", "1", 7)
    await world.counters(**{"a*[b]?:maic_7_4": 1, "aXXb?:maic_7_5": 1})
    assert missing(await world.check(key_prefix="a*[b]?:")) == [4]


async def test_a_time_to_live_is_told(world: World) -> None:
    await world.redis.set("sasp_7", 2, ex=1000)
    checked = await single(world, 1, 2)
    assert checked.equal
    assert 0 < checked.expiring["sasp_7"] <= 1000


async def multiple(world: World, *rows: tuple[int, int], **counters: int) -> Checked:
    """Check task 7 with these rows (source and worker) and counters."""
    await world.project("P", "1", 7)
    await world.rows("P", 7, *rows)
    await world.counters(**counters)
    return await world.check()


async def test_equal_counts_of_sources_and_workers_are_equal(world: World) -> None:
    checked = await multiple(world, (1, 5), (1, 6), (2, 5), maic_7_1=2, maic_7_2=1, mapc_7_5=2, mapc_7_6=1)
    assert checked.equal


async def test_rows_of_nobody_count_for_sources_and_not_for_workers(world: World) -> None:
    assert (await multiple(world, (1, -1), (1, 5), maic_7_1=2, mapc_7_5=1)).equal


async def test_sources_with_fewer_rows_than_counted_lack_rows(world: World) -> None:
    checked = await multiple(world, (1, 5), maic_7_1=3, mapc_7_5=1)
    assert [(each.kind, each.source, each.actions[0].as_json["rows"]) for each in checked.differences] == [
        ("missing", 1, 2)
    ]


async def test_counts_behind_and_absent_are_found(world: World) -> None:
    checked = await multiple(world, (1, 5), (1, 6), (2, 5), maic_7_1=1, mapc_7_5=1)
    assert found(checked) == [
        ("behind", "maic_7_1", 1, 2),
        ("absent", "maic_7_2", None, 1),
        ("behind", "mapc_7_5", 1, 2),
        ("absent", "mapc_7_6", None, 1),
    ]


async def test_sources_that_only_redis_knows_lack_all_rows_also_above_the_greatest_one(world: World) -> None:
    checked = await multiple(world, (5, 5), maic_7_5=1, mapc_7_5=5, maic_7_3=1, maic_7_9=2)
    assert missing(checked) == [3, 9]


async def test_a_worker_that_only_redis_knows_lacks_a_row_unless_its_source_is_complete(world: World) -> None:
    checked = await multiple(world, (1, 5), maic_7_1=1, mapc_7_5=1, mapc_7_8=1, mapc_7_9=4)
    assert [(each.source, each.worker) for each in checked.differences if each.kind == "missing"] == [(4, 9)]
    assert checked.skipped == {7: [8]}


async def test_a_worker_whose_source_lacks_rows_gets_them_by_the_source(world: World) -> None:
    """The row that the worker lost is inserted for nobody, so that it can be assigned again."""
    checked = await multiple(world, (1, 5), maic_7_1=1, maic_7_2=1, mapc_7_5=2)
    assert [(each.part, each.source) for each in checked.differences] == [("sources", 2)]
    assert checked.skipped == {}


async def test_counters_of_nothing_are_equal_to_no_rows(world: World) -> None:
    assert (await multiple(world, maic_7_1=0, mapc_7_1=0)).equal


async def test_a_counter_of_nobody_is_no_workers(world: World) -> None:
    assert (await multiple(world, **{"mapc_7_-1": 9})).equal


async def test_names_that_end_in_no_number_are_unreadable(world: World) -> None:
    checked = await multiple(world, maic_7_x=1, mapc_7_01=1, maic_8_x=1, maic_77_1=1)
    assert sorted(checked.unreadable) == ["maic_7_x", "mapc_7_01"]


async def test_all_tasks_of_a_project_are_looked_at_and_no_others(world: World) -> None:
    await world.project("Q", "1", 9)
    await world.counters(maic_9_1=1)
    await world.project("P", "1", 7, 8)
    await world.counters(maic_7_1=1, maic_8_2=1)
    checked = await world.check()
    assert [(each.task, each.source) for each in checked.differences] == [(7, 1), (8, 2)]


async def test_a_worker_far_beyond_all_sources_is_told_and_gets_no_row(world: World) -> None:
    await world.project("P", "1", 7)
    await world.rows("P", 7, (3, 2))
    await world.counters(maic_7_3=1, mapc_7_2=10**11)
    (found,) = (await world.check()).differences
    assert (found.kind, found.worker, found.actions) == ("too_far", 2, ())
    await world.counters(mapc_7_2=1_000_003)
    assert [each.kind for each in (await world.check()).differences] == ["missing", "absent"]


@pytest.mark.parametrize("method", ["0", "1"])
async def test_a_project_without_one_counter_is_told(world: World, method: str) -> None:
    """Its counters are probably elsewhere."""
    await world.project("P", method, 7)
    await world.rows("P", 7, (1, 1), (2, 1))
    checked = await world.check()
    assert checked.uncounted
    assert any("NOT ONE counter" in line for line in lines(checked))
    await world.counters(**{"sasp_7" if method == "0" else "maic_7_1": 1})
    assert not (await world.check()).uncounted


async def test_an_unknown_project_is_named(world: World) -> None:
    with pytest.raises(ProjectUnfit, match="no project 'nobody'"):
        await world.check("nobody")


async def test_rows_without_a_source_are_told_and_left_out(world: World) -> None:
    await world.do("alter table tb_prj_data alter src_idx drop not null")
    await world.do(
        "insert into tb_prj_data (prj_idx, project_id, prog_state_cd, work_user) values (7, 'P', 'WORK_ING', -1)"
    )
    checked = await single(world, 1, sasp_7=1)
    assert checked.equal
    assert checked.held.tasks[0].sourceless == 1


async def test_columns_of_other_types_are_understood(world: World) -> None:
    await world.do("alter table tb_prj_data alter src_idx type text, alter work_user type varchar(9)")
    await world.do("alter table tb_prj_data alter old_reset drop default")
    await world.do(
        "alter table tb_prj_data alter old_reset type boolean using false, alter work_sdate type varchar(30)"
    )
    await world.do("alter table cw_project alter use_multi_assign type int using use_multi_assign::int")
    await world.do("insert into cw_project values ('P', 0), ('Q', 1)")
    await world.do("insert into tb_prj_mst values (7, 'P'), (8, 'Q')")
    await world.counters(sasp_7=2, maic_8_1=1, mapc_8_4=1)
    for project, task in (("P", 7), ("Q", 8)):
        _, checked = await world.repair(project)
        assert checked.equal
        assert await world.labels(task)


async def test_every_difference_is_told_as_json(world: World) -> None:
    checked = await multiple(world, (1, 5), (1, 6), maic_7_1=1, maic_7_2=1, mapc_7_5=1)
    told = as_json(checked)
    assert {"project", "method", "tasks", "equal", "differences", "unreadable"} <= told.keys()
    assert (told["project"], told["method"], told["tasks"], told["equal"]) == ("P", "multiple", [7], False)
    for difference in told["differences"]:
        assert {"kind", "task", "key", "redis", "database", "action"} <= difference.keys()
    assert [each["action"] for each in told["differences"]] == ["set", "insert", "set"]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["single", "multiple"])
async def test_a_live_service_is_no_drift(world: World, kind: str) -> None:
    """The service counts first and writes later: without the grace period, that would be a difference."""
    await world.project("P", "0" if kind == "single" else "1", 7)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(assign(world, "P", 7, single=kind == "single", delay=0.05, stop=stop))
        while (await world.check(grace=0)).equal:  # until the service is seen between its two writes
            pass
        assert (await world.check(grace=3)).equal
        stop.set()
    assert serving.result() > 1


@pytest.mark.long
async def test_a_lost_row_is_found_beside_a_live_service(world: World) -> None:
    await world.project("P", "0", 7)
    await world.counters(sasp_7=3)
    await world.rows("P", 7, (1, 1), (3, 1))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(assign(world, "P", 7, single=True, delay=0.02, stop=stop))
        checked: Any = await world.check(grace=3)
        stop.set()
    assert missing(checked) == [2]


@pytest.mark.parametrize("method", ["0", "1"])
async def test_a_check_only_reads_and_never_asks_for_keys(world: World, method: str) -> None:
    await world.project("P", method, 7)
    await world.rows("P", 7, (1, 1), (3, 2))
    await world.redis.hset("sasp_7" if method == "0" else "maic_7_1", "a", "1")
    await world.redis.config_resetstat()
    assert not (await world.check()).equal
    used = {name.removeprefix("cmdstat_").partition("|")[0] for name in await world.redis.info("commandstats")}
    assert used <= {"ping", "info", "mget", "type", "scan", "ttl", "client", "hello", "select", "config"}


async def test_a_name_that_is_written_otherwise_is_no_counter(world: World) -> None:
    checked = await multiple(world, (1, 5), maic_7_1=1, mapc_7_5=1, maic_007_1=5)
    assert checked.equal


@pytest.mark.parametrize("column", ["bigint", "integer", "smallint"])
async def test_numbers_that_the_columns_cannot_hold_are_unreadable_and_the_rest_is_repaired(
    world: World, column: str
) -> None:
    await world.do(f"alter table tb_prj_data alter src_idx type {column}, alter work_user type {column}")
    most = {"bigint": 2**63 - 1, "integer": 2**31 - 1, "smallint": 2**15 - 1}[column]
    beyond = {f"maic_7_{most + 1}": 1, f"mapc_7_{most + 1}": 1}
    if column != "bigint":
        beyond["mapc_7_6"] = most + 1
    await multiple(world, (1, 5), maic_7_1=2, mapc_7_5=1, **beyond)
    _, checked = await world.repair()
    assert sorted(checked.unreadable) == sorted(beyond)
    assert not checked.differences
    assert await world.held(7) == [(1, -1), (1, 5)]


async def test_an_unfit_project_does_not_keep_the_others_from_being_checked(world: World) -> None:
    await world.do("alter table cw_project drop constraint cw_project_pkey")
    await world.project("A", "0", 1)
    await world.project("A", "1", 2)
    await world.project("B", "0", 3)
    async with sides(world.place()) as both:
        found = [each async for each in both.checker.check_all()]
    assert isinstance(found[0], ProjectUnfit)
    assert isinstance(found[-1], Checked)
    assert found[-1].held.project == "B"
