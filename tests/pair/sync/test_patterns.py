"""Tables that a pattern matches come and go while the daemon runs."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from snk.db.server import Server
from snk.pair.core.selection import Selection
from snk.pair.sync import tables
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.job import TableJob
from snk.pair.sync.leases import Leases
from snk.pair.sync.link import lender_of
from snk.pair.sync.matching import look_up
from snk.pair.sync.prepare import prepare
from tests.kit.databases import Database, insert, until, until_equal
from tests.pair.conftest import Running, until_healthy

COLUMNS = "(id bigserial primary key, uuid uuid not null unique, data text)"
Log = list[Any]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LOOK_SECONDS", 0.1)


@pytest.fixture
def log() -> Iterator[Log]:
    with capture_logs() as seen:
        yield seen


@pytest.fixture
async def app(first: Database, second: Database) -> tuple[Database, Database]:
    """Both databases have a schema that SNK's role has no search_path to."""
    for side in (first, second):
        await side.run("create schema app")
    return first, second


async def on_both(app: tuple[Database, Database], *statements: str) -> None:
    for side in app:
        await side.run(*statements)


def of(daemon: Daemon) -> set[str]:
    return {flow.table for flow in daemon.status().flows}


def said(log: Log, event: str) -> list[str]:
    return [entry["table"] for entry in log if entry["event"] == event]


async def until_of(daemon: Daemon, *names: str) -> None:
    async def so() -> bool:
        return of(daemon) == set(names)

    await until(so, f"the daemon to work on {names}")


async def until_said(log: Log, event: str, count: int = 1) -> None:
    async def so() -> bool:
        return len(said(log, event)) >= count

    await until(so, f"{event} in the log, {count} times")


async def test_a_table_that_is_made_while_the_daemon_runs_begins_to_flow_and_a_dropped_one_is_let_go(
    running: Running, app: tuple[Database, Database], log: Log
) -> None:
    await on_both(app, f"create table app.old {COLUMNS}", f"create table app.audit_old {COLUMNS}")
    async with running(select="app.*, !app.audit_*") as daemon:
        assert of(daemon) == {"app.old"}
        await on_both(app, f"create table app.audit_new {COLUMNS}", f'create table app."New" {COLUMNS}')
        await until_of(daemon, "app.old", "app.New")
        await insert(app[0], 5, 'app."New"')
        await insert(app[1], 5, 'app."New"')
        await until_equal(*app, 10, 'app."New"')
        marks = "select count(*) from snk.marks where table_name = 'app.old'"
        before = await app[0].value(marks)
        await on_both(app, "drop table app.old")
        await until_said(log, "table_let_go")
        assert of(daemon) == {"app.New"}
        assert await app[0].value(marks) == before > 0
        assert daemon._shared.leases._lead.keys() == {"app.New"}
        assert len(daemon._shared.store._sets) == 2
        await until_healthy(daemon)
        await insert(app[0], 5, 'app."New"')
        await until_equal(*app, 15, 'app."New"')
    assert said(log, "table_taken_up") == ["app.old", "app.New"]
    assert said(log, "table_let_go") == ["app.old"]
    assert "app.old" in said(log, "lease_ended")


async def test_a_renamed_table_goes_on_under_its_new_name(
    running: Running, app: tuple[Database, Database], log: Log
) -> None:
    await on_both(app, f"create table app.a {COLUMNS}")
    async with running(select="app.*") as daemon:
        await insert(app[0], 5, "app.a")
        await until_equal(*app, 5, "app.a")
        await on_both(app, "alter table app.a rename to b")
        await until_of(daemon, "app.b")
        await insert(app[1], 5, "app.b")
        await until_equal(*app, 10, "app.b")
        await until_said(log, "table_let_go")


async def test_a_table_that_is_gone_on_one_side_keeps_its_job(
    running: Running, app: tuple[Database, Database], log: Log
) -> None:
    await on_both(app, f"create table app.a {COLUMNS}")
    async with running(select="app.*") as daemon:
        await until_healthy(daemon)
        await app[1].run("drop table app.a")
        await insert(app[0], 1, "app.a")

        async def paused() -> bool:
            return {flow.state for flow in daemon.status().flows} == {"paused"}

        await until(paused, "the flows to pause")
        assert of(daemon) == {"app.a"}
        await app[1].run(f"create table app.a {COLUMNS}")
        await until_equal(*app, 1, "app.a")
    assert not said(log, "table_let_go")


async def test_an_unfit_table_is_said_once_and_taken_up_when_it_fits(
    running: Running, app: tuple[Database, Database], log: Log
) -> None:
    first, second = app
    await on_both(app, f"create table app.fit {COLUMNS}")
    await first.run("create table app.a (id bigserial primary key, data text)")
    async with running(select="app.*") as daemon:
        assert daemon.status().left_out == {"app.a": "second: there is no table app.a"}
        await second.run("create table app.a (id bigserial primary key, data text)")
        await until_said(log, "table_left_out", 2)
        assert "has no column that could be its uuid" in daemon.status().left_out["app.a"]
        await on_both(app, f"create table app.later {COLUMNS}")
        await until_of(daemon, "app.fit", "app.later")  # it has looked several times
        await on_both(app, "alter table app.a add column uuid uuid not null unique")
        await until_of(daemon, "app.fit", "app.later", "app.a")
        await insert(first, 5, "app.a")
        await until_equal(first, second, 5, "app.a")
        assert daemon.status().left_out == {}
        await until_healthy(daemon)
    reasons = [entry["reason"] for entry in log if entry["event"] == "table_left_out" and entry["table"] == "app.a"]
    assert len(reasons) == len(set(reasons)) <= 3, "the third while only one side had the column"


async def test_an_unfit_table_is_looked_at_again_although_nothing_seems_to_have_changed(
    running: Running, app: tuple[Database, Database], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unique index on an old column does not show in the table's own entry in the catalog, if there was an index."""
    monkeypatch.setattr(tables, "AGAIN_AT_ONCE", 1)
    names = [f"app.t{number}" for number in range(3)]
    for name in names:
        await on_both(app, f"create table {name} (id bigserial primary key, uuid uuid not null)")
    async with running(select="app.*") as daemon:
        assert said(log, "table_left_out") == names
        for name in names:
            await on_both(app, f"create unique index on {name} (uuid)")
        await until_of(daemon, *names)


async def test_two_daemons_share_the_tables_that_come(
    running: Running, app: tuple[Database, Database], log: Log
) -> None:
    await on_both(app, f"create table app.a {COLUMNS}")

    def working(daemon: Daemon) -> int:
        return sum(flow.state == "running" for flow in daemon.status().flows) // 2

    async with running(select="app.*", name="one") as one, running(select="app.?", name="other") as other:
        for letter in "bcd":
            await on_both(app, f"create table app.{letter} {COLUMNS}")
        await on_both(app, f"create table app.only_one {COLUMNS}")

        async def shared() -> bool:
            return working(one) + working(other) == 5 and working(other) in (2, 3)

        await until(shared, "a share for each")
        for table in ("app.a", "app.b", "app.c", "app.d", "app.only_one"):
            await insert(app[0], 3, table)
            await until_equal(*app, 3, table)
        await on_both(app, "drop table app.a, app.b")
        await until_said(log, "table_let_go", 4)

        async def all_left() -> bool:
            return working(one) + working(other) == 3

        await until(all_left, "the others to be worked on")


async def test_another_selection_is_applied_while_the_daemon_runs(
    running: Running, app: tuple[Database, Database], log: Log
) -> None:
    for name in ("a", "b", "c"):
        await on_both(app, f"create table app.{name} {COLUMNS}")
    async with running("app.a", "app.b") as daemon:
        await until_healthy(daemon)
        daemon.select(Selection.of("app.b, app.c"))
        await until_of(daemon, "app.b", "app.c")
        daemon.select(Selection.of("app.a, app.b, app.c"))  # one of them may be ending
        await until_of(daemon, "app.a", "app.b", "app.c")
        for name in ("app.a", "app.c"):
            await insert(app[0], 5, name)
            await until_equal(*app, 5, name)
        assert said(log, "table_let_go") == ["app.a"]


async def test_a_table_is_not_taken_up_again_before_it_has_been_let_go(
    running: Running, app: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs would work on it."""
    run, may_end, looks = TableJob.run, asyncio.Event(), 0

    async def slow_to_end(job: TableJob, stop: asyncio.Event) -> None:
        await run(job, stop)
        await may_end.wait()

    async def counted(*args: Any) -> Any:
        nonlocal looks
        found = await look_up(*args)
        looks += 1
        return found

    async def looked_twice() -> bool:
        return looks >= 2

    for name in ("a", "b"):
        await on_both(app, f"create table app.{name} {COLUMNS}")
    monkeypatch.setattr(TableJob, "run", slow_to_end)
    monkeypatch.setattr(tables, "look_up", counted)
    async with running("app.a", "app.b") as daemon:
        try:
            daemon.select(Selection.of("app.b"))
            await until_of(daemon, "app.b")
            daemon.select(Selection.of("app.b, app.a"))
            await until(looked_twice, "a look")
            await until_healthy(daemon)
            assert of(daemon) == {"app.b"}
        finally:
            may_end.set()
        await until_of(daemon, "app.a", "app.b")
        await insert(app[0], 5, "app.a")
        await until_equal(*app, 5, "app.a")


async def test_a_lease_that_is_taken_while_its_table_is_let_go_is_released(
    pair: Any, app: tuple[Database, Database]
) -> None:
    """Nobody would work on the table until this daemon ends."""
    servers = Server("first", pair.first), Server("second", pair.second)
    for server in servers:
        await prepare(server, ())
    await on_both(app, f"create table app.a {COLUMNS}", f"create table app.b {COLUMNS}")
    leases = Leases(servers, {each.label: lender_of(each, 1) for each in servers}, "one", lambda *_: None)
    running = asyncio.create_task(leases.run())

    async def holders() -> dict[str, str]:
        rows = [row for side in app for row in await side.rows("select table_name, holder from snk.leases")]
        return dict(rows)

    async def both_held() -> bool:
        return await holders() == {"app.a": "one", "app.b": "one"}

    async def one_released() -> bool:
        return await holders() == {"app.a": "", "app.b": "one"}

    try:
        leases.admit("app.a")
        leases.admit("app.b")
        await until(both_held, "both leases to be taken")
        leases.dismiss("app.a")
        await until(one_released, "the lease to be released")
        leases.admit("app.a")
        await until(both_held, "the lease to be taken again")
        assert (await leases.lead("app.a")).epoch == 2
    finally:
        leases.close()
        await running


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("app.a, app.missing", "first: there is no table app.missing"),
        ("app.a, app.b, app.unfit", "app.unfit has no column that could be its uuid"),
        ("app.b, !app.b", "excludes every table that it names"),
        ("here, app.here", "here and app.here are one table, app.here"),
    ],
)
async def test_a_selection_that_could_not_start_changes_nothing(
    running: Running, app: tuple[Database, Database], log: Log, text: str, why: str
) -> None:
    for name in ("a", "b", "here"):
        await on_both(app, f"create table app.{name} {COLUMNS}")
    await on_both(app, "create table app.unfit (id bigserial primary key)")
    path = "do $$ begin execute format('alter database %I set search_path = app', current_database()); end $$"
    await on_both(app, path)
    async with running("app.a") as daemon:
        daemon.select(Selection.of(text))

        async def refused() -> bool:
            return any(entry["event"] == "settings_refused" and why in entry["error"] for entry in log)

        await until(refused, "the selection to be refused")
        assert of(daemon) == {"app.a"}
        daemon.select(Selection.of("app.b"))
        await until_of(daemon, "app.b")


async def test_what_no_pattern_matches(running: Running, app: tuple[Database, Database]) -> None:
    await on_both(
        app,
        f"create table app.whole {COLUMNS}",
        "create table app.parted (id bigint generated always as identity, uuid uuid not null, primary key (uuid))"
        " partition by hash (uuid)",
        "create table app.part partition of app.parted for values with (modulus 1, remainder 0)",
        "create view app.seen as select * from app.whole",
        f"create table public.near {COLUMNS}",
    )
    async with running(select="*.*") as daemon:
        assert of(daemon) | set(daemon.status().left_out) == {"app.whole", "app.parted", "public.near"}
    async with running(select="*") as daemon:
        assert of(daemon) == {"public.near"}


async def test_a_daemon_without_a_table_waits_for_one(
    running: Running, app: tuple[Database, Database], log: Log
) -> None:
    async with running(select="app.*") as daemon:
        assert of(daemon) == set()
        await until_healthy(daemon)
        await on_both(app, f"create table app.a {COLUMNS}")
        await insert(app[0], 5, "app.a")
        await until_equal(*app, 5, "app.a")
    assert "no_table_matches" in [entry["event"] for entry in log]
