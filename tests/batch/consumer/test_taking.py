"""What calls do to runs: those that are run again, those that are given up, and the reports that wait meanwhile."""

import asyncio
from collections.abc import Callable

import pytest

from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.outbox import Outbox
from snk.batch.consumer.work import Work
from snk.http.auth.credentials import AuthTable, Credentials
from tests.kit.consumer import Callbacks
from tests.kit.databases import until
from tests.kit.working import Merge, Room

MakeRoom = Callable[..., Room]
STAGE = "insert into snk_batch_consumer.staged (file, number, record) values ({file}, {number}, '{{}}')"
WAITS = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


async def fail(_: Work) -> None:
    raise FileFailed("it is not there")


class Gate:
    """What keeps a file from going on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, work: Work) -> None:
        self.reached.set()
        await self.opened.wait()
        async with work.step() as step:
            await step.note(received=1)


async def test_a_rerun_without_files_is_complete(room: Room) -> None:
    await room.call({"a": room.file("broken", fail)})
    await room.until_state("FAILED")
    told = await room.call({}, fence=2, since=2)
    assert (told.state, dict(told.files)) == ("COMPLETED", {})
    assert (await room.call({}, fence=3, since=2)).state == "COMPLETED"


async def test_a_file_that_failed_and_is_not_defined_any_more_keeps_no_rerun_from_completing(room: Room) -> None:
    await room.call({"a": room.file("fine"), "b": room.file("broken", fail)})
    await room.until_state("FAILED")
    await room.call({"c": room.file("fine")}, fence=2, since=2)
    await room.until_state("COMPLETED")
    assert await room.files() == {"a": "COMPLETED", "c": "COMPLETED"}
    assert room.executors["fine"].executed == 2


async def test_what_is_stored_at_the_moment_of_a_rerun_is_forgotten_with_its_file(room: Room) -> None:
    gate = Gate()
    await room.call({"a": room.file("slow", gate)})
    await gate.reached.wait()
    file = await room.database.value("select id from snk_batch_consumer.file")
    async with room.database.connect() as connection:
        await connection.exec_driver_sql(f"select from snk_batch_consumer.file where id = {file} for update")
        await connection.exec_driver_sql(STAGE.format(file=file, number=1))
        again = asyncio.create_task(room.call({"a": room.file("fine")}, fence=2, since=2))

        async def waits() -> bool:
            return bool(await room.database.rows(WAITS))

        await until(waits, "the rerun to wait for the file")
        await connection.commit()
    await again
    gate.opened.set()
    await room.until_state("COMPLETED")
    assert await room.database.value("select count(*) from snk_batch_consumer.staged") == 0


ONE, TWO = (f"http://{name}.example:8094/v1/runs/1/callback?uid=x" for name in ("one", "two"))


@pytest.mark.parametrize("callback", ["", ONE])
async def test_a_run_ends_what_its_platform_has_given_up_of_the_task(room: Room, callback: str) -> None:
    gate = Gate()
    await room.call({"a": room.file("slow", gate)}, callback=callback)
    await gate.reached.wait()
    await room.call({"a": room.file("fine")}, run=2, callback=callback.replace("/1/", "/2/"))
    await room.until_state("COMPLETED", run=2)
    gate.opened.set()
    await room.until_idle()
    told = await room.call({"a": room.file("fine")}, callback=callback, fence=2)
    assert (told.state, told.reason) == ("FAILED", "run 2 of the task began")
    assert (told.files["a"].state, told.files["a"].received) == ("FAILED", None)
    assert (await room.call({"a": room.file("fine")}, callback=callback, fence=3, since=3)).state == "RUNNING"
    await room.until_state("COMPLETED")


async def test_a_run_that_is_run_again_ends_others_of_its_task(room: Room) -> None:
    gate = Gate()
    await room.call({"a": room.file("broken", fail)})
    await room.until_state("FAILED")
    await room.call({"a": room.file("slow", gate)}, run=2)
    await gate.reached.wait()
    await room.call({"a": room.file("fine")}, fence=2, since=2)
    await room.until_state("COMPLETED")
    await room.until_state("CANCELLED", run=2)
    gate.opened.set()


@pytest.mark.parametrize("other", [{"callback": TWO}, {"callback": ""}, {"callback": ONE, "task": "others"}])
async def test_runs_of_other_platforms_and_tasks_go_on(room: Room, other: dict[str, str]) -> None:
    gate = Gate()
    await room.call({"a": room.file("slow", gate)}, callback=ONE)
    await gate.reached.wait()
    await room.call({"a": room.file("fine")}, run=2, **other)
    await room.until_state("COMPLETED", run=2)
    gate.opened.set()
    await room.until_state("COMPLETED")


async def test_a_merge_that_is_under_way_delays_no_other_run_and_is_undone(room: Room) -> None:
    merge = Merge()
    await room.database.run("create table target ()")
    await room.call({"a": room.file("merges", merge)})
    await merge.reached.wait()
    await room.call({"a": room.file("fine")}, run=2)
    await room.until_state("COMPLETED", run=2)
    merge.opened.set()
    await room.until_idle()
    await room.until_state("CANCELLED")
    assert await room.database.value("select count(*) from target") == 0


async def test_an_answer_to_an_older_report_takes_no_newer_one_out_of_the_outbox(
    room: Room, callbacks: Callbacks
) -> None:
    outbox = Outbox(room.pool, Credentials(AuthTable()))
    await room.call({}, callback=callbacks.url)
    (older,) = await outbox._claim()
    await room.call({}, callback=callbacks.url, fence=2, since=2)
    await outbox._send(older)
    assert outbox.sent == 1
    assert await room.database.value("select report ->> 'fence' from snk_batch_consumer.outbox") == "2"
    (newer,) = await outbox._claim()
    await outbox._send(newer)
    assert await room.database.rows("select 1 from snk_batch_consumer.outbox") == []
    await outbox._clients.close()
