"""Rows that the destination refuses are set aside with the reason and tried again; everything else flows on."""

from typing import Any

import pytest

from snk.db.server import Server
from snk.pair.sync.daemon import Daemon
from snk.pair.table import narrow
from snk.pair.table.rejects import hasten
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running, until_healthy
from tests.pair.sync.faults import daemon_over

BAD = "insert into records (uuid, data) select gen_random_uuid(), 'bad' from generate_series(1, {})"
REFUSED = "select count(*) from snk.rejected"


async def until_rejected(side: Database, count: int) -> None:
    async def so_many() -> bool:
        return bool(await side.value(REFUSED) == count)

    await until(so_many, f"{count} rows set aside")


async def test_rows_that_a_check_refuses_are_set_aside_and_the_others_flow(
    running: Running, first: Database, second: Database
) -> None:
    async with running() as daemon:
        await second.run("alter table records add constraint good check (data <> 'bad')")
        async with first.connect() as connection:
            await connection.exec_driver_sql("insert into records (uuid, data) values (gen_random_uuid(), 'good')")
            await connection.exec_driver_sql(BAD.format(3))
            await connection.exec_driver_sql("insert into records (uuid, data) values (gen_random_uuid(), 'good')")
            await connection.commit()
        await insert(first, 500)
        await until_rejected(second, 3)
        await until_count(second, 502)
        ((state, error, tries),) = await second.rows(
            "select distinct sqlstate, error, least(tries, 1) from snk.rejected"
        )
        assert (state, tries) == ("23514", 1)
        assert "good" in error
        await until(lambda: told(daemon, [3, 0]), "the status to say so")
        await until_healthy(daemon)
        await second.run("alter table records drop constraint good")
        await until_equal(first, second, 505)
        await until_rejected(second, 0)
        await until(lambda: told(daemon, [0, 0]), "the status to say so")


async def until_count(side: Database, count: int) -> None:
    async def so_many() -> bool:
        return bool(await side.value("select count(*) from records") == count)

    await until(so_many, f"{count} rows")


async def told(daemon: Daemon, rejected: list[int]) -> bool:
    return [flow.rejected for flow in daemon.status().flows] == rejected


FUNCTION = "create function refuse() returns trigger language plpgsql as"
BEFORE = "create trigger refuse before insert on records for each row execute function refuse()"
AT_COMMIT = """create constraint trigger refuse after insert on records
               deferrable initially deferred for each row execute function refuse()"""
RAISES = f"{FUNCTION} $$ begin if new.data = 'bad' then raise 'no' using errcode = 'ZZ999'; end if; return new; end $$"
DROPS = f"{FUNCTION} $$ begin if new.data = 'bad' then return null; end if; return new; end $$"
MISSES = f"{FUNCTION} $$ begin if new.data = 'bad' then perform from elsewhere; end if; return new; end $$"
# Of every class that mostly speaks of the statement, the session or the server, and not of a row.
CODES = (
    "08001", "0A000", "24000", "25001", "26501", "28000", "2D000", "34000", "3B001", "3D000", "3F000", "42501", "42883",
    "53200", "54001", "55000", "55P03", "57014", "58P01", "72000", "F0000", "HV000", "P0001", "XX000", "XX002",
)  # fmt: skip


def fails_with(code: str) -> str:
    return RAISES.replace("ZZ999", code)


OTHER_BAD = "insert into records (uuid, data) values (gen_random_uuid(), 'bad')"

# What the destination does about a row whose data are 'bad', and the SQLSTATE it is set aside with.
REFUSALS = {
    "another unique key": (["create unique index on records (data)", OTHER_BAD], "23505"),
    "a trigger": ([RAISES, BEFORE], "ZZ999"),
    "a trigger that drops rows": ([DROPS, BEFORE], ""),
    "a trigger at the commit": ([RAISES, AT_COMMIT], "ZZ999"),
    "a trigger that names a table without its schema": ([MISSES, BEFORE], "42P01"),
    **{f"a trigger that fails with {code}": ([fails_with(code), BEFORE], code) for code in CODES},
}


@pytest.mark.sampled(7)
@pytest.mark.parametrize("kind", REFUSALS)
async def test_whatever_refuses_a_row_only_that_row_waits(
    running: Running, first: Database, second: Database, kind: str
) -> None:
    statements, sqlstate = REFUSALS[kind]
    async with running():
        await second.run(*statements)
        await first.run("insert into records (uuid, data) select gen_random_uuid(), unnest(array['bad', 'good'])")
        await until_rejected(second, 1)
        assert await second.value("select sqlstate from snk.rejected") == sqlstate
        await insert(first, 5)

        async def all_but_one() -> bool:
            return len(list((await first.contents() - await second.contents()).elements())) == 1

        await until(all_but_one, "all others")


@pytest.mark.long
@pytest.mark.sampled(2)
@pytest.mark.parametrize("code", ["42P01", "08001", "XX000", "57014"])
async def test_a_lone_row_that_is_refused_holds_nobody_up(
    running: Running, first: Database, second: Database, code: str
) -> None:
    async with running():
        await second.run(fails_with(code), BEFORE)
        await first.run(BAD.format(1))
        await until_rejected(second, 1)
        await insert(first, 1)
        await until_count(second, 1)


@pytest.mark.long
async def test_a_row_for_which_a_trigger_takes_too_long_is_set_aside(
    pair: Any, first: Database, second: Database
) -> None:
    """Batches are made smaller until it stands alone."""
    slow = f"{FUNCTION} $$ begin if new.data = 'bad' then perform pg_sleep(600); end if; return new; end $$"
    async with daemon_over(pair.first, pair.second, pair.redis, command_seconds=1.0):
        await second.run(slow, BEFORE)
        async with first.connect() as connection:
            await connection.exec_driver_sql(BAD.format(1))
            await connection.exec_driver_sql(
                "insert into records (uuid, data) select gen_random_uuid(), 'good' from generate_series(1, 20)"
            )
            await connection.commit()
        await until_rejected(second, 1)
        await until_count(second, 20)
        await insert(first, 1)
        await until_count(second, 21)


@pytest.mark.long
@pytest.mark.parametrize(
    "trigger",
    [
        pytest.param("before insert on records for each statement", id="of the statement"),
        pytest.param("before insert on records for each row", id="of every row"),
    ],
)
async def test_what_refuses_everything_pauses_the_flow_and_sets_nothing_aside(
    running: Running, first: Database, second: Database, trigger: str
) -> None:
    async with running() as daemon:
        await second.run(
            f"{FUNCTION} $$ begin perform from elsewhere; return new; end $$",
            f"create trigger refuse {trigger} execute function refuse()",
        )
        await insert(first, 5)
        await until(lambda: paused(daemon), "the flow to pause")
        assert "elsewhere" in daemon.status().flows[0].error
        assert await second.value(REFUSED) == 0
        await second.run("drop trigger refuse on records")
        await until_equal(first, second, 5)


async def paused(daemon: Daemon) -> bool:
    return daemon.status().flows[0].state == "paused"


async def test_a_trigger_that_drops_a_whole_batch_hides_nothing(
    running: Running, first: Database, second: Database
) -> None:
    async with running():
        await second.run(DROPS, BEFORE)
        await first.run(BAD.format(7))
        await until_rejected(second, 7)
        await second.run("drop trigger refuse on records")
        await until_equal(first, second, 7)


@pytest.mark.long
async def test_a_trigger_on_a_partition_that_came_since_hides_nothing(
    running: Running, first: Database, second: Database
) -> None:
    """The insert names the table, whose partitions and their triggers are those of the last look."""
    await second.run(
        "create table records (id bigint generated by default as identity, uuid uuid not null unique, data text)"
        " partition by range (uuid)",
        "create table low partition of records for values from (minvalue) to ('80000000-0000-0000-0000-000000000000')",
        "create index on records (id)",
        DROPS,
    )
    row = "insert into records (uuid, data) values ('{}0000000-0000-4000-8000-000000000000', '{}')"
    async with running():
        await first.run(row.format(1, "good"))
        await until_equal(first, second, 1)
        async with second.connect() as connection:
            await connection.exec_driver_sql(
                "create table high partition of records"
                " for values from ('80000000-0000-0000-0000-000000000000') to (maxvalue)"
            )
            await connection.exec_driver_sql(BEFORE.replace("records", "high"))
            await connection.commit()
        await first.run(row.format(9, "bad"))
        await until_rejected(second, 1)


async def test_a_trigger_that_came_since_hides_no_row_of_a_wide_table(
    running: Running, first: Database, second: Database
) -> None:
    """Its statements are made of compiled ones: each parameter has to be in its place."""
    columns = ", ".join(f"c{number} text" for number in range(20))
    for side in (first, second):
        await side.run(f"create table wide (id bigserial primary key, uuid uuid not null unique, data text, {columns})")
    row = "insert into wide (uuid, data) values (gen_random_uuid(), '{}')"
    async with running("wide"):
        await second.run(DROPS)
        await first.run(row.format("good"))
        await until_equal(first, second, 1, "wide")
        await second.run(BEFORE.replace("records", "wide"))
        await first.run(row.format("bad"))
        await until_rejected(second, 1)


@pytest.mark.long
async def test_rows_are_counted_where_a_trigger_was_there_before_the_daemon(
    running: Running, first: Database, second: Database
) -> None:
    async with running():
        pass
    await second.run(DROPS, BEFORE)
    async with running():
        await insert(first, 1000)
        await until_equal(first, second, 1000)
        await first.run(BAD.format(300))
        await insert(first, 1000)
        await until_rejected(second, 300)
        await until_count(second, 2000)


@pytest.mark.long
async def test_foreign_keys_between_synced_tables_heal_by_themselves(
    running: Running, first: Database, second: Database
) -> None:
    for side in (first, second):
        await side.run(
            "create table parents (id bigserial primary key, uuid uuid not null unique)",
            "create table children (id bigserial primary key, uuid uuid not null unique,"
            " parent uuid not null references parents (uuid))",
        )
    # The children's flow is there long before the parents'.
    async with running("children"):
        await first.run(
            "insert into parents (uuid) select gen_random_uuid() from generate_series(1, 20)",
            "insert into children (uuid, parent) select gen_random_uuid(), uuid from parents",
        )
        await until_rejected(second, 20)
    async with running("children", "parents"):
        await until_equal(first, second, 20, "children")
        await until_rejected(second, 0)


@pytest.mark.long
async def test_a_batch_of_which_too_many_are_refused_is_made_smaller(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrow, "MOST_REFUSED", 5)
    async with running() as daemon:
        await second.run("alter table records add constraint good check (data <> 'bad')")
        await first.run(BAD.format(30))
        await insert(first, 30)
        await until_rejected(second, 30)
        await until_count(second, 30)
        assert "more than 5 rows of a batch are refused" in daemon.status().flows[0].error


@pytest.mark.long
async def test_rows_are_tried_ever_more_rarely_and_at_once_on_demand(
    running: Running, pair: Any, first: Database, second: Database
) -> None:
    async with running():
        await second.run("alter table records add constraint good check (data <> 'bad')")
        await first.run(BAD.format(1))

        async def tried_thrice() -> bool:
            return bool(await second.value("select coalesce(max(tries), 0) from snk.rejected") >= 3)

        await until(tried_thrice, "three tries")
        assert await second.value("select next_at - last_at > '1.5 s' from snk.rejected")
        await second.run(
            "alter table records drop constraint good", "update snk.rejected set next_at = now() + interval '1 hour'"
        )
        async with Server("second", pair.second).connect() as connection:
            assert await hasten(connection, ()) == 1
        await until_equal(first, second, 1)


@pytest.mark.long
async def test_a_refused_row_that_is_gone_is_forgotten(running: Running, first: Database, second: Database) -> None:
    async with running():
        await second.run("alter table records add constraint good check (data <> 'bad')")
        await first.run(BAD.format(2))
        await until_rejected(second, 2)
        await first.run("delete from records")
        await until_rejected(second, 0)


@pytest.mark.long
async def test_a_refused_row_forgotten_would_be_lost(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail: with nothing set aside the mark steps over the row and nobody knows."""

    async def forget(*_: object) -> None:
        return

    monkeypatch.setattr("snk.pair.table.rejects.Rejects.keep", forget)
    async with running():
        await second.run("alter table records add constraint good check (data <> 'bad')")
        await first.run(BAD.format(1))
        await insert(first, 1)
        await until_count(second, 1)
        await second.run("alter table records drop constraint good")
        with pytest.raises(AssertionError, match="waited in vain"):
            await until_equal(first, second, 2, deadline_seconds=3.0)


@pytest.mark.long
async def test_a_row_that_a_trigger_drops_is_not_stepped_over_when_the_connection_dies(
    running: Running, first: Database, second: Database
) -> None:
    """The mark does not move before the row is set aside."""
    waits = "select pid from pg_locks where relation = 'snk.rejected'::regclass and not granted"

    async def waiting() -> bool:
        return bool(await second.rows(waits))

    async with running():
        await insert(first, 1)
        await until_equal(first, second, 1)
        await second.run(DROPS, BEFORE)
        async with second.connect() as holder:
            await holder.exec_driver_sql("lock table snk.rejected in access exclusive mode")
            await first.run(BAD.format(1))
            await until(waiting, "SNK to set the row aside")
            await second.run(f"select pg_terminate_backend(pid) from ({waits}) w", "drop trigger refuse on records")
        await until_equal(first, second, 2)
