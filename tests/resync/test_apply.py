"""What a repair writes, and what it leaves alone."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import sqlalchemy as sa

from snk.core.plan import restored
from snk.db.locks import key_of, try_lock_in_transaction
from snk.errors import PlanUnfit, ProjectUnfit
from snk.resync.demo import ROW
from snk.resync.model import Limits, Part, repair_of
from snk.resync.run import Resync, Round, locked, planned, sides
from tests.kit.assignments import World, assign, repaired


async def single(world: World, sources: Iterable[int], pointer: int | None) -> None:
    """Task 7 with these rows and this pointer."""
    await world.project("P", "0", 7)
    await world.rows("P", 7, *((source, 1) for source in sources))
    if pointer is not None:
        await world.counters(sasp_7=pointer)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("sources", "pointer", "wanted", "after"),
    [
        ([1, 2], 5, 5, 5),
        ([3], 3, 3, 3),
        ([1, 2, 5], 2, 5, 5),
        ([1, 2], None, 2, 2),
        ([4], None, 4, 4),
        ([], 4, 4, 4),
        ([2, 9], 7, 9, 9),
    ],
)
async def test_single_assignment_is_made_whole(
    world: World, sources: list[int], pointer: int | None, wanted: int, after: int
) -> None:
    await single(world, sources, pointer)
    _, checked = await world.repair()
    assert checked.equal
    assert [source for source, _ in await world.held(7)] == list(range(1, wanted + 1))
    assert [source for source, _ in await world.labels(7)] == list(range(1, wanted + 1))
    assert await world.redis.get("sasp_7") == str(after).encode()


async def test_an_inserted_row_can_be_assigned_again(world: World) -> None:
    await single(world, [1], 2)
    await world.repair()
    columns = ROW.c.prog_state_cd, ROW.c.work_user, ROW.c.old_reset, ROW.c.project_id, ROW.c.work_sdate
    ((*values, since),) = await world.ask(sa.select(*columns).where(ROW.c.src_idx == 2))
    ((now,),) = await world.ask(sa.text("select now()"))
    assert values == ["WORK_ING", -1, 1, "P"]
    assert abs((now - since).total_seconds()) < 600


async def test_labels_take_the_lowest_free_index_of_their_source(world: World) -> None:
    await world.project("P", "1", 7)
    await world.rows("P", 7, (1, 5), (1, 6), (1, 7))
    await world.do("delete from tb_tmpl_img_label_data where src_idx = 1 and json_index = 1")
    await world.do("delete from tb_prj_data where work_user = 6")
    await world.counters(maic_7_1=4, maic_7_2=1, mapc_7_5=1, mapc_7_7=1)
    _, checked = await world.repair()
    assert checked.equal
    assert await world.labels(7) == [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]


async def test_multiple_assignment_is_made_whole_part_by_part(world: World) -> None:
    await world.project("P", "1", 7)
    await world.rows("P", 7, (1, 5), (1, 6), (2, 5))
    await world.counters(maic_7_1=3, maic_7_3=2, mapc_7_5=1, mapc_7_8=4)
    rounds, checked = await world.repair()
    assert [each.plan.actions[0].as_json["action"] for each in rounds] == ["insert", "set"]
    assert checked.equal
    assert await world.held(7) == [(1, -1), (1, 5), (1, 6), (2, 5), (3, -1), (3, -1), (4, 8)]
    assert await counters(world) == {
        "maic_7_1": 3,
        "maic_7_2": 1,
        "maic_7_3": 2,
        "maic_7_4": 1,
        "mapc_7_5": 2,
        "mapc_7_6": 1,
        "mapc_7_8": 4,
    }


async def counters(world: World) -> dict[str, int]:
    """All counters of sources and workers."""
    keys = sorted([key.decode() async for key in world.redis.scan_iter("ma*")])
    return {key: int(await world.redis.get(key)) for key in keys}


async def test_the_workers_part_alone_completes_the_source_that_the_worker_has(world: World) -> None:
    await world.project("P", "1", 7)
    await world.counters(maic_7_4=2, mapc_7_8=4)
    async with sides(world.place()) as both:
        checked = await both.checker.check("P")
        asked: list[Part] = []

        def only_workers(part: Part, _: object) -> bool:
            asked.append(part)
            return part == "workers"

        rounds = [each async for each in Resync(both).run(checked, only_workers)]
    assert asked == ["sources", "workers"]
    assert len(rounds) == 1
    assert await world.held(7) == [(4, 8)]
    assert await world.redis.get("maic_7_4") == b"2"


async def test_duplicates_stay_and_are_told_again(world: World) -> None:
    await single(world, [1, 2, 2, 4, 5], 5)
    _, checked = await world.repair()
    assert [(each.kind, each.source) for each in checked.differences] == [("duplicate", 2)]
    assert [source for source, _ in await world.held(7)] == [1, 2, 2, 3, 4, 5]


async def test_what_is_unreadable_is_never_overwritten_and_the_rest_is_repaired(world: World) -> None:
    await world.project("P", "1", 7)
    await world.rows("P", 7, (1, 5), (2, 6))
    await world.redis.hset("maic_7_1", "a", "1")
    await world.redis.set("mapc_7_5", "1e3")
    _, checked = await world.repair()
    assert sorted(checked.unreadable) == ["maic_7_1", "mapc_7_5"]
    assert not checked.differences
    assert await world.redis.hgetall("maic_7_1") == {b"a": b"1"}
    assert await world.redis.get("mapc_7_5") == b"1e3"
    assert await world.redis.get("maic_7_2") == b"1"


async def test_a_time_to_live_is_kept(world: World) -> None:
    await single(world, [1, 2, 3], 1)
    await world.redis.expire("sasp_7", 1000)
    await world.repair()
    assert await world.redis.get("sasp_7") == b"3"
    assert 900 < await world.redis.ttl("sasp_7") <= 1000


@pytest.mark.sampled(2)
@pytest.mark.parametrize("value", ["0", "2", "9", None])
async def test_a_counter_that_moved_since_the_check_is_left_alone(world: World, value: str | None) -> None:
    await single(world, [1, 2, 3], 1)

    async with sides(world.place()) as both:
        checked = await both.checker.check("P")
        await (world.redis.set("sasp_7", value) if value else world.redis.delete("sasp_7"))
        (only,) = [each async for each in Resync(both).run(checked, lambda *_: True)]
    assert list(only.overtaken) == list(only.plan.actions)
    assert await world.redis.get("sasp_7") == (value and value.encode())


async def test_a_counter_that_appeared_since_the_check_is_left_alone(world: World) -> None:
    await single(world, [1, 2, 3], None)
    async with sides(world.place()) as both:
        checked = await both.checker.check("P")
        await world.redis.rpush("sasp_7", "a list")
        (only,) = [each async for each in Resync(both).run(checked, lambda *_: True)]
    assert len(only.overtaken) == 1
    assert await world.redis.lrange("sasp_7", 0, -1) == [b"a list"]


async def test_a_row_that_appeared_since_the_check_is_not_inserted_again(world: World) -> None:
    await single(world, [1], 3)
    async with sides(world.place()) as both:
        checked = await both.checker.check("P")
        await world.rows("P", 7, (2, 9))
        (only,) = [each async for each in Resync(both).run(checked, lambda *_: True)]
    assert [each.as_json["source"] for each in only.overtaken] == [2]
    assert await world.held(7) == [(1, 1), (2, 9), (3, -1)]


async def written(world: World) -> str:
    """A plan that repairs every difference, as its file holds it."""
    async with sides(world.place()) as both:
        return planned(await both.checker.check("P")).written()


async def apply(world: World, text: str, *, live: bool = False, **names: Any) -> Round:
    async with sides(world.place(**names)) as both:
        return await Resync(both, live).apply(restored(text, "resync", repair_of))


async def test_a_written_plan_is_applied_once(world: World) -> None:
    await single(world, [1], 3)
    plan = await written(world)
    await apply(world, plan)
    assert (await world.check()).equal
    await world.do("delete from tb_prj_data where src_idx > 1")
    with pytest.raises(PlanUnfit, match="applied before"):
        await apply(world, plan)
    assert await world.held(7) == [(1, 1)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("moved", ["row", "counter", "counter behind rows"])
async def test_a_written_plan_out_of_date_writes_nothing(world: World, moved: str) -> None:
    await world.project("P", "1", 7)
    await world.rows("P", 7, (1, 5), (1, 6), (3, 5))
    await world.counters(maic_7_1=1, maic_7_2=2, mapc_7_5=3, mapc_7_6=1)
    plan = await written(world)
    if moved == "row":
        await world.rows("P", 7, (2, 5))
    else:
        await world.counters(**{"maic_7_1" if moved == "counter" else "maic_7_2": 7})
    before = await world.held(7), await counters(world)
    with pytest.raises(PlanUnfit, match="plan expects"):
        await apply(world, plan)
    assert (await world.held(7), await counters(world)) == before
    assert not await world.journal("P")


async def test_two_runs_do_not_write_to_one_project_at_once(world: World) -> None:
    await single(world, [1], 3)
    async with locked(world.server, "P"):
        with pytest.raises(ProjectUnfit, match="Another run"):
            await world.repair()
        async with locked(world.server, "Q"):
            pass
    _, checked = await world.repair()
    assert checked.equal


@pytest.mark.parametrize("place", ["row", "project"])
async def test_a_project_in_process_is_written_only_while_live_is_allowed(world: World, place: str) -> None:
    await single(world, [1], 3)
    if place == "project":
        await world.do("alter table cw_project add status text default 'OPEN'")
        names: dict[str, Any] = {"in_process": ("OPEN", "NEW"), "state": {"table": "project", "column": "status"}}
    else:
        names = {"in_process": ("WORK_END",), "state": {}}
    plan = await written(world)
    for attempt in (world.repair(**names), apply(world, plan, **names)):
        with pytest.raises(ProjectUnfit, match="in process"):
            await attempt
    assert await world.held(7) == [(1, 1)]
    assert (await world.check(**names)).held.in_process
    _, checked = await world.repair(live=True, **names)
    assert checked.equal


async def test_rows_that_wait_to_be_assigned_again_are_not_in_process(world: World) -> None:
    """What the first part of a repair inserts must not keep its second part from being written."""
    await world.project("P", "1", 7)
    await world.rows("P", 7, (1, 2))
    await world.counters(maic_7_1=2, mapc_7_2=1, mapc_7_3=4)
    rounds, checked = await world.repair(in_process=("WORK_ING",), state={})
    assert (len(rounds), {each.source for each in checked.differences}) == (2, set())


async def test_more_rows_than_allowed_are_told_and_not_inserted(world: World) -> None:
    await single(world, [1], 1000)
    _, checked = await world.repair(limits=Limits(most_rows=100))
    assert [each.kind for each in checked.differences] == ["too_many"]
    assert len(await world.held(7)) == 1


async def test_keys_are_made_where_the_database_makes_none(world: World) -> None:
    await single(world, [1], 3)
    await world.do("alter table tb_prj_data alter data_idx drop identity")
    _, checked = await world.repair()
    assert checked.equal
    assert len(await world.labels(7)) == 3


async def test_the_journal_tells_what_was_done(world: World) -> None:
    await single(world, [1], 3)
    (only,), _ = await world.repair()
    (entry,) = await world.journal("P")
    assert entry.plan == only.plan.id
    assert [action["source"] for action in entry.actions] == [2, 3]
    assert entry.finished_at
    assert entry.overtaken == []


@pytest.mark.long
async def test_the_service_assigns_meanwhile(world: World) -> None:
    """Repairs beside a live service add only what was lost, and nothing twice."""
    await single(world, [1, 2, 5], 6)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(assign(world, "P", 7, single=True, delay=0.02, stop=stop))
        async with sides(world.place(grace=2)) as both:
            _, checked = await repaired(both, "P", live=True)
            assert checked.equal
        stop.set()
    held = [source for source, _ in await world.held(7)]
    assert held == list(range(1, 6 + serving.result() + 1))


async def test_a_source_counter_of_zero_is_raised_from_zero(world: World) -> None:
    await world.project("P", "1", 7)
    await world.counters(maic_7_6=0, mapc_7_5=6)
    await apply(world, await written(world))
    assert (await world.check()).equal
    assert await world.redis.get("maic_7_6") == b"1"


async def test_a_second_run_whose_lock_was_lost_does_not_write(world: World) -> None:
    """The session that holds the lock may die while a person thinks; the transaction has a lock of its own."""
    await single(world, [1], 3)
    key = key_of("snk resync rows P")
    async with world.server.begin() as connection:
        await connection.execute(sa.select(try_lock_in_transaction(key)))
        with pytest.raises(ProjectUnfit, match="Another run"):
            await world.repair()
    assert await world.held(7) == [(1, 1)]
