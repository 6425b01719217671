"""What a consumer forgets, what it lists, and how long its sessions may take."""

import asyncio

import pytest

from snk.batch.consumer import upkeep
from snk.batch.consumer.looking import runs
from snk.batch.consumer.service import Service
from snk.batch.consumer.settings import Consumer
from snk.db.pool import Pool
from tests.kit.databases import Database, until
from tests.kit.working import Room

RUNS = (
    "insert into snk_batch_consumer.run"
    " (uid, number, task, fence, since, payload, callback, state, called_at, ended_at)"
    " select gen_random_uuid(), each, 'prices', 1, 1, '{{}}', '', '{state}', {called}, {ended}"
    " from generate_series({first}, {last}) each"
)
FILES = (
    "insert into snk_batch_consumer.file (run, name, definition, state)"
    " select id, 'a', '{}', case number when 3 then 'COMPLETED' else 'RUNNING' end from snk_batch_consumer.run"
)
STAGED = (
    "insert into snk_batch_consumer.staged (file, number, record)"
    " select id, each, '{}' from snk_batch_consumer.file, generate_series(1, 25) each"
)
OLD = "now() - interval '91 days'"
NUMBERS = "select number from snk_batch_consumer.run order by number"


def made(first: int, last: int, state: str, called: str, ended: str) -> str:
    return RUNS.format(first=first, last=last, state=state, called=called, ended=ended)


async def test_runs_are_forgotten_that_ended_long_ago_or_that_nobody_calls(room: Room) -> None:
    await room.database.run(
        made(1, 1, "COMPLETED", OLD, OLD),
        made(2, 2, "COMPLETED", OLD, "now()"),
        made(3, 3, "RUNNING", OLD, "null"),
        made(4, 4, "RUNNING", "now()", "null"),
    )
    assert await upkeep.forget(room.pool, 90.0) == 2
    assert await room.database.rows(NUMBERS) == [(2,), (4,)]


async def test_a_call_keeps_a_run_from_being_forgotten(room: Room) -> None:
    await room.call({})
    await room.database.run(f"update snk_batch_consumer.run set called_at = {OLD}, ended_at = null, state = 'RUNNING'")
    await room.call({})
    assert await upkeep.forget(room.pool, 90.0) == 0


async def test_runs_that_are_called_just_now_delay_no_upkeep(room: Room) -> None:
    await room.database.run(made(1, 2, "COMPLETED", OLD, OLD))
    async with room.database.connect() as connection:
        await connection.exec_driver_sql("select from snk_batch_consumer.run where number = 1 for update")
        assert await upkeep.forget(room.pool, 90.0) == 1
    assert await room.database.rows(NUMBERS) == [(1,)]


async def test_records_are_forgotten_in_portions_unless_their_file_is_worked_on(room: Room) -> None:
    await room.database.run(
        made(1, 1, "RUNNING", "now()", "null"),
        made(2, 2, "CANCELLED", "now()", "now()"),
        made(3, 3, "RUNNING", "now()", "null"),
        FILES,
        STAGED,
        "insert into snk_batch_consumer.staged (file, number, record) values (999, 7, '{}')",
    )
    found = []
    while portion := await upkeep.sweep(room.pool, 10):
        found.append(portion)
    assert found == [10, 10, 5, 10, 10, 5, 1]
    left = "select distinct r.number from snk_batch_consumer.staged s join snk_batch_consumer.file f on f.id = s.file"
    assert await room.database.rows(left + " join snk_batch_consumer.run r on r.id = f.run") == [(1,)]


async def test_what_is_too_much_at_once_is_forgotten_in_smaller_portions(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "AGAIN_SECONDS", 0.0)
    await room.database.run(
        made(1, 200, "COMPLETED", OLD, OLD),
        "create function refuse() returns trigger language plpgsql as"
        " $$begin if (select count(*) from gone) > 70 then raise 'too many'; end if; return null; end$$",
        "create trigger refuse after delete on snk_batch_consumer.run referencing old table as gone"
        " for each statement execute function refuse()",
    )
    stop = asyncio.Event()
    keeping = asyncio.create_task(upkeep.keep_up(room.pool, 90.0, stop))

    async def forgotten() -> bool:
        return not await room.database.rows(NUMBERS)

    await until(forgotten, "all runs to be forgotten")
    stop.set()
    await keeping


async def test_a_holder_is_listed_as_long_as_its_lease(room: Room) -> None:
    await room.database.run(
        made(1, 2, "RUNNING", "now()", "null"),
        "update snk_batch_consumer.run set holder = 'one', working_until = now() + (number - 1.5) * interval '2 h'",
    )
    async with room.pool.connection("snapshot") as connection:
        assert {each["number"]: each["holder"] for each in await runs(connection, 10)} == {1: None, 2: "one"}


async def test_a_merge_may_take_long_and_a_stopped_consumer_locks_files_for_a_short_time(database: Database) -> None:
    service = Service(Consumer.model_validate({"database": database.dsn}))
    try:
        assert await limits(service._loading) == ("1h", "10s")
        assert await limits(service._pool) == ("1min", "10s")
    finally:
        await service._loading.close()
        await service._pool.close()
    usual = Pool(database.dsn, 1, 30.0, "tests")
    assert await limits(usual) == ("1min", "90s")
    await usual.close()


async def limits(pool: Pool) -> tuple[str, ...]:
    async with pool.begin() as connection:
        asked = ("statement_timeout", "idle_in_transaction_session_timeout")
        found = [await connection.exec_driver_sql(f"select current_setting('{each}')") for each in asked]
        return tuple(each.scalar_one() for each in found)
