"""Rows that refer to others wait for them, and for nothing else."""

import asyncio
from itertools import repeat

import pytest

from snk.pair.sync import arrivals as arrivals_module
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.referred import Referred, Table
from snk.pair.sync.start import Start, Starter
from tests.kit.databases import DEADLINE_SECONDS, Database, until, until_equal
from tests.pair.conftest import Running

ORDERS = "create table orders (id bigserial primary key, uuid uuid not null unique, data text)"
LINES = (
    "create table lines (id bigserial primary key, uuid uuid not null unique, order_uuid uuid references orders (uuid))"
)
ORDER_WITH_LINES = (
    "with o as (insert into orders (uuid) values (gen_random_uuid()) returning uuid)"
    " insert into lines (uuid, order_uuid) select gen_random_uuid(), o.uuid from o, generate_series(1, 3)"
)
REFUSED = "select count(*) from snk.rejected"


@pytest.fixture(params=["lines,orders", "orders,lines"])
async def tables(request: pytest.FixtureRequest, first: Database, second: Database) -> tuple[str, ...]:
    for side in (first, second):
        await side.run(ORDERS, LINES)
    return tuple(request.param.split(","))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow that is slow to start or to move counts as one that hangs only when the test has failed anyway.

    Its rows would be set aside and tried again, so nothing is lost; but these tests are about rows that wait.
    """
    monkeypatch.setattr(arrivals_module, "STILL_SECONDS", DEADLINE_SECONDS)
    guesses = (*arrivals_module.GUESSES_SECONDS, *repeat(0.25, int(DEADLINE_SECONDS / 0.25)))
    monkeypatch.setattr(arrivals_module, "GUESSES_SECONDS", guesses)


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.usefixtures("patient")
async def test_lines_that_come_with_their_order_wait_for_it_and_are_not_set_aside(
    running: Running, first: Database, second: Database, tables: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(*tables):
        for number in range(1, 11):
            await first.run(ORDER_WITH_LINES)
            await until_equal(first, second, 3 * number, "lines")
    assert "rows_rejected" not in capsys.readouterr().out


BACKLOG = (
    "insert into orders (uuid, data) select md5(n::text)::uuid, repeat('x', 500) from generate_series(1, 20000) n",
    (
        "insert into lines (uuid, order_uuid)"
        " select md5('line' || n)::uuid, md5((20001 - n)::text)::uuid from generate_series(1, 20000) n"
    ),
)


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.usefixtures("patient")
async def test_a_backlog_of_lines_waits_for_that_of_orders(
    running: Running, first: Database, second: Database, tables: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    await first.run(*BACKLOG)
    async with running(*tables, batch_rows=2000):
        await until_equal(first, second, 20_000, "lines")
        await until_equal(first, second, 20_000, "orders")
    assert "rows_rejected" not in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.sampled(1)
@pytest.mark.usefixtures("patient")
async def test_a_daemon_that_is_told_to_stop_while_rows_wait_sets_nothing_aside(
    running: Running, first: Database, second: Database, tables: tuple[str, ...]
) -> None:
    await first.run(*BACKLOG)
    async with running(*tables, batch_rows=200) as daemon:

        async def waits() -> bool:
            return any("public.orders" in flow.awaits for flow in daemon.status().flows)

        await until(waits, "lines to wait for orders")
        status = daemon.status()
        assert not [flow for flow in status.flows if flow.awaits and flow.name in " ".join(status.troubles)]
    assert await second.value(REFUSED) == 0
    async with running(*tables):
        await until_equal(first, second, 20_000, "lines")


@pytest.mark.long
async def test_lines_wait_for_a_flow_of_orders_that_has_not_read_yet(
    running: Running,
    first: Database,
    second: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has seen its table, and is still looking where to start."""
    for side in (first, second):
        await side.run(ORDERS, LINES)
    await first.run(ORDER_WITH_LINES)
    monkeypatch.setattr(arrivals_module, "STILL_SECONDS", DEADLINE_SECONDS)
    monkeypatch.setattr(arrivals_module, "GUESSES_SECONDS", ())
    linked, may_start, start = asyncio.Event(), asyncio.Event(), Starter.start

    async def later(starter: Starter, epoch: int) -> Start:
        if starter._parts.route.table == "orders" and starter._parts.route.source.label == "first":
            linked.set()
            await may_start.wait()
        else:
            await linked.wait()
        return await start(starter, epoch)

    monkeypatch.setattr(Starter, "start", later)
    async with running("orders", "lines") as daemon:

        async def waits() -> bool:
            return any("public.orders" in flow.awaits for flow in daemon.status().flows)

        await until(waits, "lines to wait for orders")
        may_start.set()
        await until_equal(first, second, 3, "lines")
    assert "rows_rejected" not in capsys.readouterr().out


@pytest.mark.long
async def test_a_row_whose_parent_comes_by_another_way_is_tried_again_when_others_arrive(
    running: Running, first: Database, second: Database
) -> None:
    """A parent that SNK does not bring: nobody tells when it is there, but the next row that arrives is a hint."""
    for side in (first, second):
        await side.run(ORDERS, LINES, "create table others (id bigserial primary key, uuid uuid not null unique)")
    async with running("lines", "others"):
        await first.run(ORDER_WITH_LINES)
        await until(lambda: so_many_refused(second, 3), "the lines to be set aside")
        later = "update snk.rejected set next_at = now() + interval '1 hour'"
        order = await first.value("select uuid from orders")
        await second.run(later, f"insert into orders (uuid) values ('{order}')")
        await first.run("insert into others (uuid) values (gen_random_uuid())")
        await until_equal(first, second, 3, "lines")


async def so_many_refused(side: Database, count: int) -> bool:
    return bool(await side.value(REFUSED) == count)


@pytest.mark.long
async def test_tables_that_refer_to_each_other_do_not_wait_for_each_other_without_end(
    running: Running, first: Database, second: Database
) -> None:
    for side in (first, second):
        await side.run(
            "create table a (id bigserial primary key, uuid uuid not null unique, b uuid)",
            "create table b (id bigserial primary key, uuid uuid not null unique, a uuid references a (uuid))",
            "alter table a add foreign key (b) references b (uuid) deferrable initially deferred",
        )
    pair_of_rows = (
        "with x as (select gen_random_uuid() a, gen_random_uuid() b),"
        " i as (insert into b (uuid, a) select b, null from x)"
        " insert into a (uuid, b) select a, b from x"
    )
    async with running("a", "b"):
        for number in range(1, 6):
            await first.run(pair_of_rows)
            await until_equal(first, second, number, "a")
            await until_equal(first, second, number, "b")


async def test_who_waits_in_a_circle_is_let_go() -> None:
    arrivals = Arrivals()
    for table in ("a", "b"):
        arrivals.arrived(table, complete=1.0, rows=0)

    async def wait(table: str, parent: str) -> None:
        await arrivals.until_complete(table, frozenset({parent}), since=2.0, stopping=lambda: False)

    async with asyncio.TaskGroup() as group:
        group.create_task(wait("a", "b"))
        group.create_task(wait("b", "a"))


async def test_who_waits_for_a_flow_under_load_tries_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow whose batches are full does not say for hours that it has delivered what was visible."""
    monkeypatch.setattr(arrivals_module, "AGAIN_SECONDS", 0.0)
    arrivals, tried_again = Arrivals(), asyncio.Event()
    arrivals.arrived("parents", complete=1.0, rows=0)

    async def load() -> None:
        while not tried_again.is_set():
            arrivals.arrived("parents", complete=None, rows=1000)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(load())
        parents = frozenset({"parents"})
        assert not await arrivals.until_complete("children", parents, since=2.0, stopping=tried_again.is_set)
        tried_again.set()


def referred(arrivals: Arrivals) -> Referred:
    """With one row set aside that may be taken when others arrive, and which was tried once in vain."""
    referred = Referred(arrivals, Table("children"), 1, stopping=lambda: False)
    arrivals.arrived("parents", complete=1.0, rows=1)
    assert referred.tries_again(0.0)
    referred.tried(referred.arrivals, 0.0)
    return referred


def test_what_arrives_while_rows_are_tried_is_news_to_them() -> None:
    arrivals = Arrivals()
    ours = referred(arrivals)
    assert not ours.tries_again(100.0), "nothing arrived"
    before = ours.arrivals
    arrivals.arrived("parents", complete=2.0, rows=1)
    ours.tried(before, 100.0)
    assert ours.tries_again(200.0)


def test_a_row_that_is_refused_for_another_reason_uses_up_no_news() -> None:
    arrivals = Arrivals()
    ours = referred(arrivals)
    arrivals.arrived("parents", complete=2.0, rows=1)
    ours.left(1, 100.0)
    assert ours.tries_again(100.0)


def test_rows_are_tried_ever_more_rarely_until_more_are_set_aside() -> None:
    arrivals = Arrivals()
    ours, waits = referred(arrivals), []
    for _ in range(12):
        arrivals.arrived("others", complete=2.0, rows=1)
        waits.append(next(at for at in range(10_000) if ours.tries_again(at / 1000)))
        ours.tried(ours.arrivals, 0.0)
    assert waits == sorted(waits)
    assert waits[-1] == 5000
    arrivals.arrived("others", complete=2.0, rows=1)
    ours.left(2, 0.0)
    assert ours.tries_again(0.0)
