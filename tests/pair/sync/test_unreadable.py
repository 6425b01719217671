"""Rows that one side cannot give are set aside with the reason and tried again; everything else flows on."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from snk.core.intervals import Intervals
from snk.db.server import Server
from snk.pair.core.portion import Portion
from snk.pair.servers import EmbeddedPair
from snk.pair.sync import late as late_module
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.table import unreadable
from snk.pair.table.reader import Found, Reader
from tests.conftest import PairUrls
from tests.kit.databases import Database, insert, until
from tests.kit.encodings import encoded_pair
from tests.kit.links import linked_servers
from tests.pair.conftest import NO_SWEEPS, OFTEN, Running, kept_running, until_healthy

TABLE = "create table records (id bigserial primary key, uuid uuid not null unique, data text not null)"
GOOD = "insert into records (uuid, data) values (gen_random_uuid(), 'good')"
BROKEN = r"convert_from('\xff'::bytea, 'SQL_ASCII')"


@asynccontextmanager
async def encoded(servers: EmbeddedPair, first: str, second: str) -> AsyncIterator[PairUrls]:
    """A fresh pair of databases, each in an encoding of its own, with a table to be synced."""
    with encoded_pair(servers, first, second) as urls:
        for url in (urls.first, urls.second):
            await Database(url).run(TABLE)
        yield urls


@dataclass(frozen=True)
class Kind:
    """A way in which a row cannot be given.

    Attributes:
        encoding: of the source.
        prepare: statements for both sides, before the daemon starts.
        bad: the data of such a row, as SQL.
        spoil: statements for the source, after rows were inserted and before they are read.
        sqlstate: with which it is set aside.
        words: part of the reason.
    """

    bad: str
    sqlstate: str
    words: str
    encoding: str = "UTF8"
    prepare: tuple[str, ...] = ()
    spoil: tuple[str, ...] = ()


def with_cast(body: str) -> tuple[str, ...]:
    """The data are of a type whose cast to text runs some code."""
    return (
        "drop table records",
        "create type mood as enum ('good', 'bad')",
        f"create function told(mood) returns text language plpgsql as $$ begin {body} end $$",
        "create cast (mood as text) with function told(mood)",
        TABLE.replace("data text", "data mood"),
    )


DAMAGE = """
    do $$ declare toast regclass := (select reltoastrelid from pg_class where oid = 'records'::regclass);
    begin
        execute format('select heap_force_kill(%L::regclass, array(select ctid from %s))', toast, toast);
    end $$
"""
FAILS = "if $1 = 'bad' then {}; end if; return enum_out($1);"
KINDS = {
    "bytes that are no text": Kind(BROKEN, "22021", "invalid byte sequence", "SQL_ASCII"),
    "a character that UTF-8 lacks": Kind(
        r"convert_from('\x81'::bytea, 'WIN1252')", "22P05", "has no equivalent in encoding", "WIN1252"
    ),
    "text that is none": Kind(
        BROKEN,
        "22021",
        "invalid start byte",
        "SQL_ASCII",
        spoil=("update pg_database set encoding = pg_char_to_encoding('UTF8') where datname = current_database()",),
    ),
    "a cast that raises": Kind("'bad'", "P0001", "no", prepare=with_cast(FAILS.format("raise 'no'"))),
    "a cast that divides by zero": Kind(
        "'bad'", "22012", "division by zero", prepare=with_cast(FAILS.format("perform 1 / 0"))
    ),
    "a cast that names a table without its schema": Kind(
        "'bad'", "42P01", "elsewhere", prepare=with_cast(FAILS.format("perform from elsewhere"))
    ),
    "a damaged document": Kind(
        "repeat('bad', 3000)",
        "XX001",
        "missing chunk",
        prepare=("alter table records alter data set storage external", "create extension pg_surgery"),
        spoil=(DAMAGE,),
    ),
}


@asynccontextmanager
async def going(urls: PairUrls, sweeps: SweepSchedule = NO_SWEEPS, **limits: Any) -> AsyncIterator[Daemon]:
    """A daemon that runs as long as the block."""
    stop = asyncio.Event()
    pair = Pair(Server("first", urls.first), Server("second", urls.second), ("records",))
    daemon = Daemon(pair, Limits(**limits), urls.redis, sweeps=sweeps)
    await daemon.wait_until_fit(stop, init=True)
    async with kept_running(daemon, stop):
        yield daemon


async def until_aside(side: Database, count: int) -> None:
    async def so_many() -> bool:
        return bool(await side.value("select count(*) from snk.rejected") == count)

    await until(so_many, f"{count} rows set aside")


async def until_there(side: Database, count: int) -> None:
    async def so_many() -> bool:
        return bool(await side.value("select count(*) from records") == count)

    await until(so_many, f"{count} rows")


@pytest.mark.long
@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_row_that_cannot_be_given_is_set_aside_and_comes_when_it_can(servers: EmbeddedPair, kind: str) -> None:
    what = KINDS[kind]
    async with encoded(servers, what.encoding, "UTF8") as urls:
        first, second = Database(urls.first), Database(urls.second)
        for side in (first, second):
            await side.run(*what.prepare)
        async with first.connect() as connection:
            for data in ("'good'", what.bad, "'good'", what.bad, "'good'"):
                await connection.exec_driver_sql(f"insert into records (uuid, data) select gen_random_uuid(), {data}")
            await connection.commit()
        await first.run(*what.spoil)
        async with going(urls) as daemon:
            await until_aside(second, 2)
            await until_there(second, 3)
            bad = await first.rows("select uuid from records where id in (2, 4)")
            told = await second.rows("select uuid, sqlstate, error from snk.rejected")
            assert {(uuid,) for uuid, _, _ in told} == set(bad)
            assert {state for _, state, _ in told} == {what.sqlstate}
            assert all(error.startswith("first cannot give this row: ") and what.words in error for *_, error in told)
            await first.run(GOOD)
            await until_there(second, 4)

            async def counted() -> bool:
                return [flow.rejected for flow in daemon.status().flows] == [2, 0]

            await until(counted, "the status to say so")
            await until_healthy(daemon)

            async def tried() -> bool:
                return bool(await second.value("select min(tries) > 1 from snk.rejected"))

            await until(tried, "another try")
            await first.run("update records set data = 'good' where id in (2, 4)")
            await until_there(second, 6)
            await until_aside(second, 0)


@pytest.mark.long
async def test_a_row_that_cannot_be_given_and_is_gone_is_forgotten(servers: EmbeddedPair) -> None:
    async with encoded(servers, "SQL_ASCII", "UTF8") as urls:
        first, second = Database(urls.first), Database(urls.second)
        async with going(urls):
            await first.run(f"insert into records (uuid, data) select gen_random_uuid(), {BROKEN}", GOOD)
            await until_aside(second, 1)
            await first.run("delete from records where id = 1")
            await until_aside(second, 0)
            await until_there(second, 1)


@pytest.mark.long
async def test_rows_that_cannot_be_given_are_met_in_holes_and_late(
    servers: EmbeddedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_module, "LATE_SECONDS", 0.0)
    async with encoded(servers, "SQL_ASCII", "UTF8") as urls:
        first, second = Database(urls.first), Database(urls.second)
        async with going(urls):
            async with first.connect() as late:
                for data in (BROKEN, "'good'"):
                    await late.exec_driver_sql(f"insert into records (uuid, data) select gen_random_uuid(), {data}")
                await first.run(GOOD)
                await until_there(second, 1)
                await late.commit()
            await until_aside(second, 1)
            await until_there(second, 2)
            await first.run("insert into records (id, uuid, data) values (100, gen_random_uuid(), 'good')")

            async def given_up() -> bool:
                return bool(await second.value("select coalesce((select highs = '{99}' from snk.ledgers), false)"))

            await until(given_up, "the holes to be given up")
            await first.run(f"insert into records (id, uuid, data) select 50, gen_random_uuid(), {BROKEN}")
            await until_aside(second, 2)
            await first.run("insert into records (id, uuid, data) values (51, gen_random_uuid(), 'good')")
            await until_there(second, 4)


@pytest.mark.long
async def test_a_row_that_cannot_be_given_and_a_sweep_finds_is_set_aside_and_passed_over_then(
    servers: EmbeddedPair,
) -> None:
    async with encoded(servers, "SQL_ASCII", "SQL_ASCII") as urls:
        first, second = Database(urls.first), Database(urls.second)
        async with going(urls, sweeps=OFTEN) as daemon:
            await first.run(GOOD)
            await until_there(second, 1)
            await first.run(
                f"insert into records (id, uuid, data) select -5, '00000000-0000-4000-8000-000000000001', {BROKEN}",
                "insert into records (id, uuid, data) values (-6, gen_random_uuid(), 'good')",
            )
            await until_aside(second, 1)
            await until_there(second, 2)
            await until(lambda: proven(daemon, 3), "both sides to be proven equal but for this row")
            # The same uuid, and another row that can be given: they differ, and nobody can tell how.
            await second.run(
                "insert into records (id, uuid, data) values (-5, '00000000-0000-4000-8000-000000000001', 'other')",
                GOOD,
            )
            await until(lambda: proven(daemon, 4), "both sides to be proven equal but for this row")
            assert daemon.status().sweeps[0].set_aside == 1


async def proven(daemon: Daemon, rows: int) -> bool:
    (sweep,) = daemon.status().sweeps
    return sweep.proven_seconds is not None and sweep.set_aside == 1 and sweep.rows == rows


@pytest.mark.long
async def test_a_row_whose_uuid_has_one_that_cannot_be_read_is_set_aside(servers: EmbeddedPair) -> None:
    """On one side or on both: the second flow may take the row for an echo."""
    async with encoded(servers, "UTF8", "SQL_ASCII") as urls:
        first, second = Database(urls.first), Database(urls.second)
        row = "insert into records (uuid, data) select md5('1')::uuid, {}"
        await first.run(row.format("'good'"), GOOD)
        await second.run(row.format(BROKEN), GOOD)
        async with going(urls):

            async def set_aside() -> bool:
                errors = [await side.value("select min(error) from snk.rejected") for side in (first, second)]
                told = [error for error in errors if error]
                assert all(error.startswith("second cannot give this row: ") for error in told)
                return bool(told)

            await until(set_aside, "the row to be set aside")
            for side in (first, second):
                await until_there(side, 3)
            await second.run("update records set data = 'good' where uuid = md5('1')::uuid")
            for side in (first, second):
                await until_aside(side, 0)


@pytest.mark.long
async def test_so_many_questions_are_asked_at_most_and_every_row_is_settled(
    servers: EmbeddedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreadable, "MOST_QUESTIONS", 10)
    async with encoded(servers, "SQL_ASCII", "UTF8") as urls:
        first, second = Database(urls.first), Database(urls.second)
        async with going(urls):
            await first.run(
                "insert into records (uuid, data) select gen_random_uuid(),"
                f" case when n % 2 = 0 then {BROKEN} else 'good' end from generate_series(1, 100) n"
            )
            await until_aside(second, 50)
            await until_there(second, 50)


@pytest.mark.long
async def test_a_statement_that_fails_for_every_row_and_for_none_sets_nothing_aside(
    running: Running, first: Database, second: Database
) -> None:
    async with running() as daemon:
        await insert(first)
        await until_there(second, 1)
        await first.run("alter table records rename column data to info")
        await first.run("insert into records (uuid, info) values (gen_random_uuid(), 'meanwhile')")

        async def paused() -> bool:
            return all(flow.state == "paused" for flow in daemon.status().flows)

        await until(paused, "both flows to pause")
        assert await second.value("select count(*) from snk.rejected") == 0
        await first.run("alter table records rename column info to data")
        await until_there(second, 2)


REASONS = {"UTF8": "é €", "LATIN1": r"\xe9 \u20ac", "SQL_ASCII": "é €"}


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.parametrize("encoding", REASONS)
async def test_a_reason_is_kept_whatever_the_encoding_of_the_database(servers: EmbeddedPair, encoding: str) -> None:
    async with encoded(servers, "UTF8", encoding) as urls:
        first, second = Database(urls.first), Database(urls.second)
        for side in (first, second):
            await side.run(*with_cast("return enum_out($1);"))
        await first.run(
            "create or replace function told(mood) returns text language plpgsql as $$ begin raise 'é €'; end $$"
        )
        async with going(urls):
            await first.run("insert into records (uuid, data) values (gen_random_uuid(), 'bad')")
            await until_aside(second, 1)
            assert await second.value("select error from snk.rejected") == (
                f"first cannot give this row: {REASONS[encoding]}"
            )


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.parametrize("encoding", REASONS)
async def test_a_conflict_is_kept_whatever_the_encoding_of_the_database(servers: EmbeddedPair, encoding: str) -> None:
    async with encoded(servers, encoding, encoding) as urls:
        first, second = Database(urls.first), Database(urls.second)
        for side, data in ((first, "café"), (second, "thé")):
            await side.run(f"insert into records (uuid, data) values (md5('1')::uuid, '{data}')")
        async with going(urls):

            async def recorded() -> bool:
                kept = "select source_row ->> 'data', destination_row ->> 'data' from snk.conflicts"
                found = [await side.rows(kept) for side in (first, second)]
                return [("thé", "café")] in found or [("café", "thé")] in found

            await until(recorded, "the conflict")


Change = Callable[[], Awaitable[None]]


async def read_while(reader: Reader, change: Change, read: Callable[[], Awaitable[Found]]) -> Found:
    """Read, with a change between the moment when the rows are named and when they are asked for."""
    by_name, changed = reader._by_name, False

    async def after_change(uuids: Sequence[str], portion: Portion) -> Any:
        nonlocal changed
        if not changed:
            changed = True
            await change()
        return await by_name(uuids, portion)

    reader._by_name = after_change  # type: ignore[method-assign]
    return await read()


@pytest.mark.parametrize("way", ["above", "within"])
async def test_only_rows_that_were_given_or_are_there_count_as_seen(servers: EmbeddedPair, way: str) -> None:
    """Of those named, one is deleted, one gets another uuid, one another id, and one comes, before they are read."""
    portion = Portion.of(100, 2**20)
    async with encoded(servers, "SQL_ASCII", "UTF8") as urls:
        first = Database(urls.first)
        for number in range(1, 7):
            data = BROKEN if number == 2 else "'good'"
            await first.run(f"insert into records (id, uuid, data) select {10 * number}, md5('{number}')::uuid, {data}")

        async def change() -> None:
            await first.run(
                "delete from records where id = 30",
                "update records set uuid = gen_random_uuid() where id = 40",
                "update records set id = 55 where id = 50",
                "insert into records (id, uuid, data) values (15, gen_random_uuid(), 'good')",
            )

        async with linked_servers(Server("first", urls.first), Server("second", urls.second), "records") as link:
            reader = link.source.reader
            holes = Intervals.of([(1, 100)])
            reads = {"above": lambda: reader.above(0, portion), "within": lambda: reader.within(holes, portion)}
            found = await read_while(reader, change, reads[way])
    assert list(found.rows.ids) == [10, 60]
    assert list(found.ids) == [10, 20, 60]
    assert list(found.unread) == [str(UUID(hashlib.md5(b"2").hexdigest()))]
    assert (found.reached, found.full) == (60, False)
