"""Many tables rest: those that are quiet are not even read, and nothing that happens to them is missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from snk.pair.sync import rounds, session
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.sync.session import Session
from snk.pair.sync.upkeep import Upkeep
from snk.pair.table.reader import Reader
from snk.pair.table.writer import Writer
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running, until_asleep, until_healthy

TABLE = "create table {} (id bigserial primary key, uuid uuid not null unique, data text not null)"
SOON_SECONDS = 40.0  # it takes two; without what is tested here, more than a minute
OFF = SweepSchedule(every_seconds=0)
LATE = "insert into records (id, uuid, data) values ({}, gen_random_uuid(), 'late')"
NAMES = tuple(f"t{at}" for at in range(12))


async def both(first: Database, second: Database) -> None:
    for side in (first, second):
        await side.run(*map(TABLE.format, NAMES))


def counted_polls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables whose flows were awake for a poll, once for each."""
    polls: list[str] = []
    gather = Session.gather

    async def counted(self: Session) -> None:
        polls.append(self._link.table)
        await gather(self)

    monkeypatch.setattr(Session, "gather", counted)
    return polls


async def test_tables_that_are_quiet_are_not_read_and_do_nothing_of_their_own(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that come into two of twelve tables disturb no other."""
    await both(first, second)
    read: set[str] = set()
    looked: set[str] = set()
    above, beat = Reader.above, Upkeep.beat

    async def noted(self: Reader, *asked: Any) -> Any:
        read.add(self._table.shape.name)
        return await above(self, *asked)

    async def counted(self: Upkeep, *, ahead: bool) -> None:
        looked.add(self._link.table)
        await beat(self, ahead=ahead)

    monkeypatch.setattr(Reader, "above", noted)
    monkeypatch.setattr(Upkeep, "beat", counted)
    async with running(*NAMES) as daemon:
        for turn in range(1, 6):
            for side, name in ((first, "t3"), (second, "t8")):
                await insert(side, 1, name)
                await until_equal(first, second, turn, name)
        await until_healthy(daemon)
    assert read == {"t3", "t8"}
    assert looked <= {"public.t3", "public.t8"}


async def test_rows_that_come_now_and_then_are_delivered_between_naps(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow that polled for a while after each row would read hundreds of times."""
    polls = counted_polls(monkeypatch)
    async with running() as daemon:
        await insert(first, 1)
        await until_equal(first, second, 1)
        await until_healthy(daemon)
        await until_asleep(daemon)
        polls.clear()
        for turn in range(2, 12):
            for side in (first, second):
                await insert(side, 1)
                await asyncio.sleep(0.05)
            await until_equal(first, second, 2 * turn - 1)
    assert len(polls) < 10


async def test_rows_that_come_in_numbers_end_the_nap(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls = counted_polls(monkeypatch)
    async with running() as daemon:
        await until_healthy(daemon)
        await until_asleep(daemon)
        polls.clear()
        await insert(first, 1000)
        await until_equal(first, second, 1000)
        assert polls


async def test_rows_that_come_into_all_tables_at_once_arrive(
    running: Running, first: Database, second: Database
) -> None:
    await both(first, second)
    async with running(*NAMES):
        for _ in range(3):
            await asyncio.gather(*(insert(side, 5, name) for side in (first, second) for name in NAMES))
        for name in NAMES:
            await until_equal(first, second, 30, name)


async def test_a_row_that_is_set_aside_in_a_table_that_rests_is_tried_again(
    running: Running, first: Database, second: Database
) -> None:
    """Its flow sleeps; the round that all share notices that the row is due."""
    await both(first, second)
    await second.run("alter table t5 add constraint c check (data <> 'refused')")
    async with running(*NAMES) as daemon:
        await first.run("insert into t5 (uuid, data) values (gen_random_uuid(), 'refused')")

        async def aside() -> bool:
            return bool(await second.value("select count(*) from snk.rejected"))

        await until(aside, "the row to be set aside")
        await second.run("alter table t5 drop constraint c")
        await until_equal(first, second, 1, "t5")

        async def none_left() -> bool:
            return sum(flow.rejected for flow in daemon.status().flows) == 0

        await until(none_left, "nothing to be set aside")


async def test_a_row_that_a_person_removed_from_those_set_aside_counts_no_more(
    running: Running, first: Database, second: Database
) -> None:
    await both(first, second)
    await second.run("alter table t5 add constraint c check (data <> 'refused')")
    async with running(*NAMES) as daemon:
        await first.run("insert into t5 (uuid, data) values (gen_random_uuid(), 'refused')")

        async def rejected() -> int:
            return sum(flow.rejected for flow in daemon.status().flows)

        await until(rejected, "the row to be set aside")
        await second.run("update snk.rejected set next_at = 'infinity'", "delete from snk.rejected")

        async def none_left() -> bool:
            return await rejected() == 0

        await until(none_left, "nothing to be set aside")


async def test_preparing_a_statement_fires_no_trigger(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger of a statement fires for one that inserts nothing, too."""
    await both(first, second)
    for side in (first, second):
        await side.run(
            "create table fired (at timestamptz default now())",
            "create function f() returns trigger language plpgsql as"
            " $$ begin insert into fired default values; return null; end $$",
            "create trigger tells after insert on t0 for each statement execute function f()",
        )
    prepare, prepared = Writer.prepare, set[str]()

    async def noted(self: Writer) -> None:
        await prepare(self)
        prepared.add(f"{self._access.server.label} {self.table_name}")

    monkeypatch.setattr(Writer, "prepare", noted)
    monkeypatch.setattr(rounds, "READY_SECONDS", 0.0)
    async with running(*NAMES):

        async def all_are() -> bool:
            return len(prepared) == 2 * len(NAMES)

        await until(all_are, "all statements to be prepared")
    for side in (first, second):
        assert await side.value("select count(*) from fired") == 0


async def test_rows_that_are_requested_keep_a_quiet_table_from_resting(
    running: Running, first: Database, second: Database
) -> None:
    """They were requested from a flow that was ended before it delivered them."""
    await both(first, second)
    async with running(*NAMES):
        await insert(first, 5, "t3")
        await until_equal(first, second, 5, "t3")

        async def durable() -> bool:
            return bool(await second.value("select safe = high from snk.marks where table_name ~ 't3'"))

        await until(durable, "the mark to say all")
    uuid = await second.value("delete from t3 where id = (select min(id) from t3) returning uuid::text")
    async with running(*NAMES) as daemon:
        (flow,) = (each for each in daemon.flows if (each.route.table, each.route.source.label) == ("t3", "first"))
        flow.requested.add([uuid])
        await until_equal(first, second, 5, "t3")


async def test_a_change_is_noticed_although_others_were_looked_at_a_moment_before(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing ever happens in that server after it."""
    looks: list[bool] = []
    see = rounds.Rounds._see_tables

    async def counted(self: rounds.Rounds, *given: Any) -> None:
        await see(self, *given)
        looks.append(self._lender.server.label == "second")

    monkeypatch.setattr(rounds.Rounds, "_see_tables", counted)
    await both(first, second)
    async with running(*NAMES) as daemon:
        await until_healthy(daemon)
        await insert(first, 5, "t3")
        await until_equal(first, second, 5, "t3")
        seen = sum(looks)

        async def seen_again() -> bool:
            return sum(looks) > seen

        await until(seen_again, "the tables to be looked at")
        await second.run("truncate t3")
        await until_equal(first, second, 5, "t3")


async def test_a_conflict_that_somebody_else_records_is_counted(
    running: Running, first: Database, second: Database
) -> None:
    async with running() as daemon:
        await insert(first, 3)
        await until_equal(first, second, 3)
        await second.run(
            "insert into snk.conflicts (table_name, uuid, source_row, destination_row)"
            " select 'public.records', uuid, '{}', '{}' from records limit 1"
        )

        async def counted() -> bool:
            return [flow.conflicts for flow in daemon.status().flows] == [1, 0]

        await until(counted, "the conflict to be counted")
        await second.run("delete from snk.conflicts")

        async def none() -> bool:
            return not any(flow.conflicts for flow in daemon.status().flows)

        await until(none, "no conflict to be counted")


async def test_a_row_that_comes_late_into_a_table_that_rests_arrives(
    running: Running, first: Database, second: Database
) -> None:
    """Its id was drawn in another transaction than the one that inserts it, so its hole was given up."""
    async with running(sweeps=OFF) as daemon:
        drawn = await first.value("select nextval('records_id_seq')")
        await insert(first, 3)
        await until_equal(first, second, 3)

        async def given_up() -> bool:
            return not any(flow.holes for flow in daemon.status().flows)

        await until(given_up, "the hole to be given up")
        await until_asleep(daemon)
        await first.run(LATE.format(drawn))
        await until_equal(first, second, 4)
        assert [flow.late for flow in daemon.status().flows] == [1, 0]


@asynccontextmanager
async def trickling(database: Database, every_seconds: float = 0.04) -> AsyncIterator[None]:
    """Single rows come all the time, so the flow of their table is woken again and again."""

    async def rows() -> None:
        async with database.connect() as connection:
            while True:
                await connection.exec_driver_sql("insert into records (uuid, data) values (gen_random_uuid(), 'x')")
                await connection.commit()
                await asyncio.sleep(every_seconds)

    task = asyncio.create_task(rows())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def no_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No round wakes a flow that sleeps; one does so now and then for a mark that the flow has just moved."""

    async def nothing(_: rounds.Rounds) -> None:
        pass

    monkeypatch.setattr(rounds.Rounds, "_round", nothing)


@pytest.fixture
def rows_alone(no_rounds: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - it is there
    """A flow that sleeps is woken by rows alone, also on a busy machine, where a moment may pass without any."""
    monkeypatch.setattr(session, "SETTLE_SECONDS", 3600.0)


@pytest.mark.usefixtures("rows_alone")
async def test_a_row_that_comes_late_arrives_although_others_come_all_the_time(
    running: Running, first: Database, second: Database
) -> None:
    async with running(sweeps=OFF), trickling(first):
        await late_row_arrives(first, second)


@pytest.mark.usefixtures("no_rounds")
@pytest.mark.parametrize("every_seconds", [0.4, 1.0])
async def test_a_row_that_comes_late_arrives_between_rows_that_come_now_and_then(
    running: Running, first: Database, second: Database, every_seconds: float
) -> None:
    """The flow saves its mark between two of them, and is woken before it is its time to look for late rows."""
    async with running(sweeps=OFF), trickling(first, every_seconds):
        await late_row_arrives(first, second)


async def late_row_arrives(first: Database, second: Database) -> None:
    """A row that has an id whose hole was given up."""
    drawn = await first.value("select nextval('records_id_seq')")
    await asyncio.sleep(2.5)
    await first.run(LATE.format(drawn))

    async def there() -> bool:
        return bool(await second.value("select count(*) from records where data = 'late'"))

    await until(there, "the late row", SOON_SECONDS)


@pytest.mark.usefixtures("rows_alone")
async def test_marks_are_saved_although_rows_come_all_the_time(running: Running, first: Database) -> None:
    """One flow delivers; the other one meets nothing but that, and saves a mark that moves without rows."""
    async with running(sweeps=OFF), trickling(first):

        async def saved() -> bool:
            return bool(await first.value("select coalesce(max(high), 0) > 30 from snk.marks"))

        await until(saved, "the mark of the flow that delivers nothing", SOON_SECONDS)
