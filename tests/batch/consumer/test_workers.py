"""Work on files: what one does to others, answers that are lost, and what is held meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import sqlalchemy as sa

from snk.batch.consumer.executor import Reconciled
from snk.batch.consumer.failing import FileFailed, Later
from snk.batch.consumer.holding import Hold, release, renew
from snk.batch.consumer.work import Work
from snk.batch.consumer.workers import Bounds
from tests.kit.consumer import ask, call, until_ended
from tests.kit.databases import Database, until
from tests.kit.working import LEASE_SECONDS, LostAnswer, Room

MakeRoom = Callable[..., Room]
ONE_AT_ONCE = Bounds(files_at_once=1, connections=5, page_rows=100, lease_seconds=LEASE_SECONDS)
ONE_OF_ALL = Bounds(files_at_once=5, connections=1, page_rows=100, lease_seconds=LEASE_SECONDS)


def failing(words: str) -> Callable[[Work], Awaitable[None]]:
    async def fail(_: Work) -> None:
        raise FileFailed(words)

    return fail


async def test_a_file_whose_end_is_committed_and_not_answered_has_ended(room_of: MakeRoom) -> None:
    """A further comparison would find nothing any more, and the file would be loaded again if it failed."""
    room = room_of(kind=LostAnswer)
    await room.call({"a": room.file("fine")})
    room.executors["fine"].finds = [Reconciled(equal=True), Reconciled(equal=False)]
    await room.until_idle()
    assert isinstance(room.loading, LostAnswer)
    assert room.loading.lost
    assert await room.files() == {"a": "COMPLETED"}
    await room.until_state("COMPLETED")


async def test_a_failure_that_is_committed_and_not_answered_is_not_tried_again(room_of: MakeRoom) -> None:
    room = room_of(kind=LostAnswer)
    await room.call({"a": room.file("broken", failing("it is not there"))})
    await room.until_idle()
    assert isinstance(room.loading, LostAnswer)
    assert room.loading.lost
    assert await room.files() == {"a": "FAILED"}
    assert room.executors["broken"].executed == 1


async def test_words_that_no_database_holds_end_their_file_and_no_other(room: Room) -> None:
    gate = asyncio.Event()

    async def wait(_: Work) -> None:
        await gate.wait()

    await room.call({"a": room.file("broken", failing("a\0b\udcffc")), "b": room.file("slow", wait)})

    async def failed() -> bool:
        return (await room.files())["a"] == "FAILED"

    await until(failed, "the file to fail")
    gate.set()
    await room.until_state("FAILED")
    told = await room.call({})
    assert told.files["a"].reason == "a\N{REPLACEMENT CHARACTER}b\\udcffc"
    assert told.files["b"].state == "COMPLETED"


async def test_a_file_whose_end_cannot_be_noted_is_left_to_the_next_call(room: Room) -> None:
    database = room.database
    gate = asyncio.Event()

    async def wait(_: Work) -> None:
        await gate.wait()

    await database.run(
        "create sequence refused",
        "create function refuse() returns trigger language plpgsql as $$begin"
        " if new.state = 'FAILED' then perform nextval('refused'); raise 'not this one'; end if; return new; end$$",
        "create trigger refuse before update on snk_batch_consumer.file for each row execute function refuse()",
    )
    files = {"a": room.file("broken", failing("no")), "b": room.file("slow", wait)}
    await room.call(files)

    async def refused() -> bool:
        return bool(await database.value("select last_value from refused") == 2)

    await until(refused, "the end of the file to be refused")
    gate.set()
    await room.until_idle()
    assert await room.files() == {"a": "RUNNING", "b": "COMPLETED"}
    await database.run("drop trigger refuse on snk_batch_consumer.file")
    assert (await room.call(files)).state == "RUNNING"
    await room.until_state("FAILED")


async def test_a_count_that_cannot_be_one_fails_its_file(room: Room) -> None:
    async def count(work: Work) -> None:
        async with work.step() as step:
            await step.note(expected=-1)

    await room.call({"a": room.file("counts", count)})
    await room.until_state("FAILED")
    assert (await room.call({})).files["a"].reason == "the executor says that expected is -1"


async def test_a_file_that_waits_for_a_further_try_makes_room_for_others(room_of: MakeRoom) -> None:
    room = room_of(bounds=ONE_AT_ONCE)

    async def wait(_: Work) -> None:
        if not room.executors["fine"].executed:
            raise Later("the other one first")

    await room.call({"a": room.file("waits", wait), "b": room.file("fine")})
    await room.until_state("COMPLETED")


async def test_files_of_all_runs_are_no_more_than_connections(room_of: MakeRoom) -> None:
    room = room_of(bounds=ONE_OF_ALL)
    now = most = 0

    async def count(work: Work) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(20):
            async with work.snapshot() as connection:
                await connection.execute(sa.select(1))
        now -= 1

    await room.call({"a": room.file("counts", count), "b": room.file("counts", count)})
    await room.call({"a": room.file("counts", count)}, run=2, task="others")
    await room.until_state("COMPLETED")
    await room.until_state("COMPLETED", run=2)
    assert most == 1


async def test_a_run_whose_files_have_ended_is_ended_when_it_is_called(room: Room) -> None:
    files = {"a": room.file("fine")}
    await room.call(files)
    await room.until_idle()
    await room.database.run("update snk_batch_consumer.run set state = 'RUNNING', ended_at = null")
    assert (await room.call(files)).state == "RUNNING"
    await room.until_state("COMPLETED")


async def test_a_run_that_was_released_is_not_held_by_a_renewal_that_comes_late(room: Room) -> None:
    await room.call({"a": room.file("fine")})
    await room.until_idle()
    await room.database.run("update snk_batch_consumer.run set working_until = now() + interval '1 h'")
    number, attempt = (await room.database.rows("select id, attempt from snk_batch_consumer.run"))[0]
    hold = Hold(number, 1, attempt)
    async with room.pool.connection("statement") as connection:
        await release(connection, hold)
        assert await renew(connection, [hold], LEASE_SECONDS) == {number}
    assert await room.database.value("select working_until from snk_batch_consumer.run") is None


async def test_an_older_hold_ends_no_work_of_a_newer_one(room: Room) -> None:
    gate = asyncio.Event()

    async def wait(_: Work) -> None:
        await gate.wait()

    await room.call({"a": room.file("slow", wait)})
    (hold,) = room.workers._tasks
    room.workers.begin(Hold(hold.run, hold.number, hold.attempt - 1))
    assert list(room.workers._tasks) == [hold]
    gate.set()
    await room.until_state("COMPLETED")


async def test_runs_of_two_platforms_with_one_number_are_counted_as_two(room: Room) -> None:
    gate = asyncio.Event()

    async def wait(_: Work) -> None:
        await gate.wait()

    await room.call({"a": room.file("slow", wait)}, callback="http://one.example/v1/runs/1/callback")
    other = {"uid": "0a0d2c9e-1c9b-4f1e-8c1e-3a1d5b6f7a88", "callback": "http://two.example/v1/runs/1/callback"}
    await room.call({"a": room.file("slow", wait)}, **other)
    assert room.workers.runs == [1, 1]
    gate.set()
    await room.until_idle()
    assert room.workers.runs == []


@pytest.mark.long
async def test_merges_that_take_long_keep_no_call_waiting(
    make: Callable[..., object], file: Callable[..., dict[str, object]], database: Database
) -> None:
    """As many are under way as there are connections for work on files."""
    await database.run(
        "create table opened ()",
        "create function wait() returns trigger language plpgsql as"
        " $$begin while not exists (select from opened) loop perform pg_sleep(0.05); end loop; return new; end$$",
        *(
            f"create trigger wait before insert on loaded_{name} for each row execute function wait()"
            for name in ("t0", "t1")
        ),
    )
    one = await make(connections=2).started()  # type: ignore[attr-defined]
    body = call({"t0": file(), "t1": file("t1")})
    await ask(one.url, body)

    async def merging() -> bool:
        asked = "select count(*) from pg_stat_activity where state = 'active' and query like 'INSERT INTO public.%'"
        return bool(await database.value(asked + " and datname = current_database()") == 2)

    await until(merging, "both merges to be under way")
    status, told = await ask(one.url, body)
    assert (status, told["state"]) == (202, "RUNNING")
    await database.run("insert into opened default values")
    assert (await until_ended(one.url, body))["state"] == "COMPLETED"
    assert await database.value("select attempt from snk_batch_consumer.run") == 1
