"""Triggers that write rows of their own for each row that SNK delivers: what comes of them, and where it ends."""

from typing import Any

import pytest

from snk.db.access import Dedicated
from snk.db.server import Server
from snk.pair.catalog import lookup
from snk.pair.core import origins
from snk.pair.core.portion import Portion
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.lineage import Lineage
from snk.pair.table.reader import Reader
from snk.pair.table.rejects import hasten
from snk.pair.table.statement import mapped
from tests.kit.databases import Database, insert, until, until_equal
from tests.kit.links import shape_on
from tests.pair.conftest import OFTEN, Running, until_healthy

TABLE = "create table {} (id bigserial primary key, uuid uuid not null unique, data text)"
COPIES = """create function copy_row() returns trigger language plpgsql as $$
begin insert into {} (uuid, data) values (gen_random_uuid(), new.data); return new; end $$"""
ONCE = "create trigger copies after insert on {} for each row when (pg_trigger_depth() = 0) execute function copy_row()"
ALWAYS = "create trigger copies after insert on {} for each row execute function copy_row()"
LOOP = "select count(*) from snk.rejected where sqlstate = 'SNK01'"


@pytest.fixture(autouse=True)
async def others(first: Database, second: Database) -> None:
    """Rows in a table without triggers show that everything else goes on."""
    for side in (first, second):
        await side.run(TABLE.format("others"))


async def until_broken(first: Database, second: Database) -> None:
    async def broken() -> bool:
        return bool(await first.value(LOOP) + await second.value(LOOP))

    await until(broken, "rows of the loop to be set aside")


async def until_still(first: Database, second: Database, table: str) -> int:
    """Wait until no row comes any more while others cross, and count those that are there."""
    counts = [-1, -2]
    while counts[-1] != counts[-2]:
        await insert(first, 1, "others")
        await insert(second, 1, "others")
        await until_equal(first, second, table="others")
        counts.append(sum([await side.value(f"select count(*) from {table}") for side in (first, second)]))
    return counts[-1]


def notices(daemon: Daemon) -> str:
    return " ".join(flow.notice for flow in daemon.status().flows)


@pytest.mark.long
async def test_a_trigger_that_inserts_into_its_own_table_makes_no_loop(
    running: Running, pair: Any, first: Database, second: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running("records", "others"):
        pass
    for side in (first, second):
        await side.run(COPIES.format("records"), ONCE.format("records"))
    async with running("records", "others") as daemon:
        await insert(first, 1)
        await until_broken(first, second)
        rows = await until_still(first, second, "records")
        assert rows < 30
        assert "copies of public.records" in notices(daemon)
        assert "trigger_loop" in capsys.readouterr().out
        await until_healthy(daemon)
        for side in (first, second):
            await side.run("drop trigger copies on records")
        for url in (pair.first, pair.second):
            async with Server("either", url).connect() as connection:
                await hasten(connection, ())
        await until_equal(first, second)


@pytest.mark.long
async def test_a_loop_would_go_on_for_ever(
    running: Running, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: where no transaction is known to be SNK's own, rows come without end."""
    monkeypatch.setattr(origins.Origins, "wrote", lambda *_: None)
    async with running("records", "others"):
        for side in (first, second):
            await side.run(COPIES.format("records"), ONCE.format("records"))
        await insert(first, 1)

        async def many() -> bool:
            return bool(await first.value("select count(*) from records") > 100)

        await until(many, "more and more rows")


@pytest.mark.long
async def test_a_loop_through_two_tables_is_broken(running: Running, first: Database, second: Database) -> None:
    for side in (first, second):
        await side.run(TABLE.format("one"), TABLE.format("two"))
        for here, there in (("one", "two"), ("two", "one")):
            await side.run(
                COPIES.format(there).replace("copy_row", f"to_{there}"),
                ONCE.format(here).replace("copy_row", f"to_{there}"),
            )
    async with running("one", "two", "others"):
        await insert(first, 1, "one")
        await until_broken(first, second)
        assert await until_still(first, second, "one") < 30


@pytest.mark.long
async def test_a_trigger_that_comes_later_makes_no_loop_either(
    running: Running, first: Database, second: Database
) -> None:
    async with running("records", "others"):
        await insert(first, 1)
        await until_equal(first, second, 1)
        for side in (first, second):
            await side.run(COPIES.format("records"), ONCE.format("records"))
        await insert(first, 1)
        await until_broken(first, second)
        await until_still(first, second, "records")


@pytest.mark.long
async def test_audit_tables_that_triggers_fill_on_both_sides_hold_a_row_for_each(
    running: Running, first: Database, second: Database
) -> None:
    for side in (first, second):
        await side.run(TABLE.format("audit"))
    async with running("records", "audit", "others") as daemon:
        for side in (first, second):
            await side.run(COPIES.format("audit"), ALWAYS.format("records"))
        for _ in range(10):
            await insert(first, 5)
            await insert(second, 5)
        await until_equal(first, second, 100)
        await until_equal(first, second, 200, "audit")
        await until_still(first, second, "audit")
        assert notices(daemon).strip() == ""
        assert await first.value(LOOP) + await second.value(LOOP) == 0


@pytest.mark.long
async def test_triggers_that_change_rows_are_named_where_rows_differ(
    running: Running, first: Database, second: Database
) -> None:
    async with running("records", sweeps=OFTEN) as daemon:
        await second.run(
            "create function shout() returns trigger language plpgsql as"
            " $$ begin new.data = upper(new.data); return new; end $$",
            "create trigger shout before insert on records for each row execute function shout()",
        )
        await first.run("insert into records (uuid, data) values (gen_random_uuid(), 'quiet')")

        async def named() -> bool:
            return "shout of public.records" in notices(daemon)

        await until(named, "the trigger to be named")
        assert await second.value("select count(*) from snk.conflicts") == 1


async def test_rows_that_were_made_in_another_boot_or_while_a_delivery_waits_keep_no_reader(
    pair: Any, first: Database
) -> None:
    server = Server("first", pair.first)
    await first.run(COPIES.format("others"), ALWAYS.format("others"), "create table x (id int)")
    uuid = str(await first.value("insert into x values (1) returning gen_random_uuid()"))
    async with server.connect() as connection:
        shape = await shape_on(server, "others")
        triggers = (await lookup.insert_triggers(connection, [shape.relations]))[shape.relations]
        reader = Reader(Dedicated(server, connection), await mapped(shape))
        lineage = Lineage()
        lineage.anchor("one boot")
        await first.run("set session_replication_role = replica", f"insert into others (uuid) values ('{uuid}')")
        rows = (await reader.above(0, Portion.of(10, 1000))).rows
        number = await first.value("select xmin::text::bigint from others")
        with lineage.writing("public.others", triggers, 0) as writing:
            writing.wrote([number])
            with writing.paused():
                assert await lineage.generations(reader, rows) == {uuid: 1}
        lineage.anchor("one boot")
        assert await lineage.generations(reader, rows) == {uuid: 1}
        lineage.anchor("another boot")
        assert await lineage.generations(reader, rows) == {}
