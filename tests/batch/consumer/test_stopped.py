"""Runs that the platform has ended: the consumer stops them, and nothing more is written."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snk.batch.consumer import looking
from snk.batch.consumer.taking import Refused
from snk.batch.consumer.work import Work
from tests.batch.consumer.test_taking import WAITS, Gate, fail
from tests.kit.consumer import ConsumerProcess, Front, ask, call, stop
from tests.kit.databases import until
from tests.kit.working import Merge, Room, SlowCommit

Make = Callable[..., ConsumerProcess]
MakeFile = Callable[..., dict[str, Any]]
COUNT = "select count(*) from target"


async def test_a_run_that_is_stopped_is_cancelled_with_its_files_and_stays_so(room: Room) -> None:
    gate = Gate()
    await room.call({"a": room.file("slow", gate), "b": room.file("broken", fail)})
    await gate.reached.wait()

    async def broken() -> bool:
        return "FAILED" in (await room.files()).values()

    await until(broken, "the other file to fail")
    assert await room.stop() == "CANCELLED"
    assert await room.files() == {"a": "CANCELLED", "b": "FAILED"}
    gate.opened.set()
    await room.until_idle()
    assert await room.stop(fence=2) == "CANCELLED"
    told = await room.call({"a": room.file("slow", gate)}, fence=2)
    assert (told.state, told.reason) == ("FAILED", "the platform has ended the run")
    assert (told.files["a"].state, told.files["a"].received) == ("FAILED", None)


async def test_a_run_that_has_ended_is_not_changed(room: Room) -> None:
    await room.call({"a": room.file("fine")})
    await room.until_state("COMPLETED")
    before = await room.database.rows("select * from snk_batch_consumer.run")
    assert await room.stop(fence=9) == "COMPLETED"
    assert await room.database.rows("select * from snk_batch_consumer.run") == before


async def test_an_end_from_before_a_run_was_run_again_does_not_stop_it(room: Room) -> None:
    gate = Gate()
    await room.call({"a": room.file("broken", fail)})
    await room.until_state("FAILED")
    await room.call({"a": room.file("slow", gate)}, fence=2, since=2)
    await gate.reached.wait()
    with pytest.raises(Refused, match="The fence is 1, and 2 has been seen") as refused:
        await room.stop(fence=1)
    assert refused.value.why == "stale-fence"
    gate.opened.set()
    await room.until_state("COMPLETED")


async def test_a_run_that_was_stopped_is_begun_when_it_is_run_again(room: Room) -> None:
    gate = Gate()
    await room.call({"a": room.file("slow", gate)})
    await gate.reached.wait()
    await room.stop()
    assert (await room.call({"a": room.file("fine")}, fence=2, since=2)).state == "RUNNING"
    await room.until_state("COMPLETED")
    gate.opened.set()


async def test_runs_that_are_not_known_or_of_another_task_are_refused(room: Room) -> None:
    await room.call({"a": room.file("fine")})
    for given, why in (({"run": 2}, "not-found"), ({"task": "others"}, "other-task")):
        with pytest.raises(Refused) as refused:
            await room.stop(**given)
        assert refused.value.why == why


async def test_a_merge_that_is_under_way_is_undone_and_not_waited_for(room: Room) -> None:
    merge = Merge()
    await room.database.run("create table target ()")
    await room.call({"a": room.file("merges", merge)})
    await merge.reached.wait()
    assert await room.stop() == "CANCELLED"
    merge.opened.set()
    await room.until_idle()
    assert await room.database.value(COUNT) == 0
    async with room.pool.connection("snapshot") as connection:
        (shown,) = await looking.runs(connection, 1)
    assert (shown["state"], shown["files"][0]["state"]) == ("CANCELLED", "CANCELLED")
    told = await room.call({"a": room.file("merges", merge)})
    assert (told.state, told.files["a"].state) == ("FAILED", "FAILED")


async def stops(room: Room) -> None:
    await room.stop()


async def supersedes(room: Room) -> None:
    await room.call({"a": room.file("fine")}, run=2)


@pytest.mark.parametrize("end", [stops, supersedes])
async def test_what_is_committed_at_the_same_moment_is_there_before_the_answer_or_never(
    room_of: Callable[..., Room], end: Callable[[Room], Awaitable[None]]
) -> None:
    room = room_of(kind=SlowCommit)
    loading = room.loading
    assert isinstance(loading, SlowCommit)
    await room.database.run("create table target ()")

    async def merge(work: Work) -> None:
        async with work.step() as step:
            await step.connection.exec_driver_sql("insert into target default values")
            loading.armed = True

    await room.call({"a": room.file("merges", merge)})
    await loading.reached.wait()

    async def ended() -> int:
        await end(room)
        return int(await room.database.value(COUNT))

    ending = asyncio.create_task(ended())

    async def waits_or_done() -> bool:
        return ending.done() or bool(await room.database.rows(WAITS))

    await until(waits_or_done, "the end of the run, or that it waits")
    loading.opened.set()
    there = await ending
    await room.until_idle()
    assert await room.database.value(COUNT) == there
    await room.until_state("CANCELLED")


@pytest.mark.long
async def test_only_those_who_may_call_may_stop(make: Make, file: MakeFile, front: Front, tmp_path: Path) -> None:
    front.says = lambda _: 503
    one = make(more=f'[consumer.auth]\nkeys = "{tmp_path}/keys"\n')
    one.start()
    one.kill()
    assert one.snk("keys", "rotate").returncode == 0
    await one.started()
    right, wrong = (one.snk("token", "--scope", scope).stdout.strip() for scope in ("runs:work", "status:read"))
    assert (await ask(one.url, call({"t0": file()}, fence=3), right))[0] == 202
    assert (await stop(one.url, fence=3))[0] == 401
    status, problem = await stop(one.url, fence=3, token=wrong)
    assert (status, problem["scope"]) == (403, "runs:work")
    for given, expected, kind in (
        ({"run": 2}, 404, "urn:snk:problem:not-found"),
        ({"fence": 2}, 409, "urn:snk:problem:stale-fence"),
        ({"task": "others", "fence": 3}, 409, "urn:snk:problem:other-task"),
    ):
        status, problem = await stop(one.url, token=right, **given)
        assert (status, problem["type"]) == (expected, kind)
    for _ in range(2):
        status, answer = await stop(one.url, fence=3, token=right)
        assert (status, answer["state"]) == (200, "CANCELLED")
    assert (await ask(one.url, call({"t0": file()}, fence=4), right))[1]["state"] == "FAILED"


@pytest.mark.long
async def test_an_end_without_a_run_or_a_fence_is_refused(make: Make) -> None:
    one = await make().started()
    async with aiohttp.ClientSession() as session:
        for query in ("", "?uid=1&fence=1", f"?uid={'0' * 32}", f"?uid={'0' * 32}&fence=-1", "?fence=1"):
            async with session.delete(f"{one.url}/v1/tasks/prices{query}") as answer:
                assert answer.status == 422, query
