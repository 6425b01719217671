"""A sweep finds what differs lastingly, all of it and nothing else, and spares the servers."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from snk.db.server import Server
from snk.errors import TableUnfit, Unavailable
from snk.pair.verify import search, slices, throttle
from snk.pair.verify import sweep as sweep_module
from snk.pair.verify.digest import TableSide
from snk.pair.verify.slices import SlicedTableSide
from snk.pair.verify.sweep import Swept, sweep
from tests.pair.verify.conftest import Sides
from tests.pair.verify.test_live import COPY, PATIENCE_SECONDS, traffic

V7 = "(lpad(to_hex(1763700000000 + i / 10), 12, '0') || '7' || left(md5(i::text), 19))::uuid"


def name(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def md5(number: int) -> str:
    """The uuid that COPY gives a row."""
    return f"md5('{number}')::uuid"


async def swept(
    sides: Sides, *, table: str = "records", settle_seconds: float = 0, share: float = 1.0, **more: Any
) -> Swept:
    servers = Server("first", sides.first.dsn), Server("second", sides.second.dsn)
    more = {"throttles": throttle.throttles_of(share), **more}
    return await sweep(*servers, table, settle_seconds=settle_seconds, **more)


def kinds(result: Swept) -> tuple[tuple[str, ...], ...]:
    return result.only_in_first, result.only_in_second, result.different


NOTHING: tuple[tuple[str, ...], ...] = ((), (), ())


@pytest.fixture(autouse=True)
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tables take many slices, and many ranges."""
    for bound in ("FIRST_ROWS", "LEAST_ROWS", "MOST_ROWS"):
        monkeypatch.setattr(throttle, bound, 70)
    monkeypatch.setattr(sweep_module, "ROWS_PER_RANGE", 20)


@contextmanager
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The parameters of every statement of a sweep."""
    statements: list[dict[str, Any]] = []
    plain = TableSide._rows

    async def rows(side: TableSide, statement: Any, values: dict[str, Any]) -> list[Any]:
        statements.append(values)
        return await plain(side, statement, values)

    with monkeypatch.context() as patch:
        patch.setattr(TableSide, "_rows", rows)
        yield statements


def after_the_pass(monkeypatch: pytest.MonkeyPatch, arrive: Callable[[], Awaitable[None]]) -> None:
    """Let rows arrive when both sides have been digested."""
    plain = slices.SlicedTableSide.whole_by
    passes = asyncio.Barrier(2)

    async def whole_by(side: SlicedTableSide, ranges: Any, passed: Any) -> Any:
        digests = await plain(side, ranges, passed)
        if await passes.wait() == 0:
            await arrive()
        await passes.wait()
        return digests

    monkeypatch.setattr(SlicedTableSide, "whole_by", whole_by)


@pytest.mark.long
async def test_no_row_and_one_row(sides: Sides) -> None:
    result = await swept(sides)
    assert (result.table, result.rows, result.complete, kinds(result)) == ("public.records", (0, 0), True, NOTHING)
    await sides.second.run(f"insert into records (uuid, data) values ('{name(1)}', 'x')")
    result = await swept(sides)
    assert (result.rows, kinds(result)) == ((0, 1), ((), (name(1),), ()))
    await sides.first.run(f"insert into records (uuid, data) values ('{name(1)}', 'x')")
    assert kinds(await swept(sides)) == NOTHING
    await sides.first.run("update records set data = null")
    assert kinds(await swept(sides)) == ((), (), (name(1),))


async def test_rows_are_compared_and_their_order_and_ids_are_not(sides: Sides) -> None:
    rows = "insert into records (uuid, data) select md5(i::text)::uuid, nullif(i, 7)::text from generate_series({}) i"
    await sides.first.run(rows.format("1, 1000"))
    await sides.second.run(rows.format("1000, 1, -1"))
    result = await swept(sides)
    assert (result.rows, kinds(result)) == ((1000, 1000), NOTHING)


async def test_each_kind_of_difference_is_found_at_both_ends_and_in_the_middle(sides: Sides) -> None:
    await sides.both(COPY.format(1, 3000))
    uuids = [uuid for (uuid,) in await sides.first.rows("select uuid::text from records order by id")]
    missing = [uuids[at] for at in (0, 1400, 2999)]
    absent = [uuids[at] for at in (1, 1500, 2998)]
    changed = [uuids[at] for at in (2, 1600, 2997)]
    for side, gone in ((sides.first, missing), (sides.second, absent)):
        await side.run(f"delete from records where uuid = any('{{{','.join(gone)}}}')")
    await sides.second.run(f"update records set data = data || ' ' where uuid = any('{{{','.join(changed)}}}')")
    result = await swept(sides)
    assert kinds(result) == (tuple(sorted(absent)), tuple(sorted(missing)), tuple(sorted(changed)))
    assert result.rows == (2997, 2997)
    assert result.complete


async def test_a_row_far_below_the_mark_is_found(sides: Sides) -> None:
    """As allocators and caches of ids bring them: after everything else, with ids drawn long before."""
    await sides.both("alter sequence records_id_seq restart with 100000", COPY.format(1, 500))
    await sides.first.run(
        f"insert into records (id, uuid, data) values (3, '{name(3)}', ''), (-5, '{name(5)}', ''),"
        f" (-9223372036854775808, '{name(8)}', '')"
    )
    assert kinds(await swept(sides)) == ((name(3), name(5), name(8)), (), ())


async def test_sparse_ids_take_no_more_statements_than_dense_ones(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sides.first.run(COPY.format(1, 700))
    await sides.second.run(
        "insert into records (id, uuid, data)"
        " select i * 10000000000000000::bigint - 1000, md5(i::text)::uuid, i::text from generate_series(1, 700) i",
        "insert into records (id, uuid, data) values (9223372036854775807, gen_random_uuid(), '')",
    )
    with asked(monkeypatch) as statements:
        result = await swept(sides)
    assert result.rows == (700, 701)
    assert [len(found) for found in kinds(result)] == [0, 1, 0]
    assert len([values for values in statements if "most" in values]) <= 2 * (700 // 70 + 1)


async def test_ids_that_occur_many_times_hide_no_row(empty: Sides) -> None:
    await empty.both(
        "create table records (id bigint generated by default as identity, uuid uuid not null unique, data text)",
        "create index on records (id)",
        "insert into records (id, uuid, data) select i / 150, md5(i::text)::uuid, '' from generate_series(0, 1000) i",
    )
    result = await swept(empty)
    assert (result.rows, kinds(result)) == ((1001, 1001), NOTHING)
    await empty.second.run(f"delete from records where uuid = {md5(449)}")
    assert [len(found) for found in kinds(await swept(empty))] == [1, 0, 0]


NO_INDEX = (
    "create table records (id bigint generated by default as identity, uuid uuid not null unique, data text)",
    "create index on records (id) where id < 10",
    "create index on records using brin (id)",
)


async def test_without_an_index_on_the_id_slices_follow_the_uuids(
    empty: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await empty.both(*NO_INDEX, COPY.format(1, 1000))
    await empty.second.run(
        f"delete from records where uuid = {md5(449)}", "update records set data = null where id = 7"
    )
    scans = "select coalesce(seq_tup_read, 0) from pg_stat_user_tables where relname = 'records'"
    before = await empty.first.value(scans)
    with asked(monkeypatch) as statements:
        assert [len(found) for found in kinds(await swept(empty))] == [1, 0, 1]
    assert await empty.first.value(scans) == before
    slices_taken = [values for values in statements if "most" in values]
    assert len(slices_taken) >= 2 * (1000 // 70)
    assert {values["most"] for values in slices_taken} == {70}


@pytest.mark.long
@pytest.mark.parametrize("indexed", ["neither", "first"])
async def test_without_an_index_on_the_id_rows_under_way_are_not_reported(empty: Sides, indexed: str) -> None:
    await empty.both(*NO_INDEX)
    if indexed == "first":
        await empty.first.run("create index on records (id)")
    async with traffic(empty):
        for _ in range(3):
            result = await swept(empty, settle_seconds=PATIENCE_SECONDS)
            assert (kinds(result), result.complete) == (NOTHING, True)


@pytest.mark.parametrize("indexed", [True, False])
async def test_how_far_a_pass_has_come_is_told(empty: Sides, indexed: bool) -> None:  # noqa: FBT001 - a parameter
    await empty.both(*NO_INDEX, *(["create index on records (id)"] if indexed else []), COPY.format(1, 1000))
    told: list[float] = []
    await swept(empty, tell=lambda what, done, of: told.append(done / of) if what == sweep_module.DIGEST else None)
    assert told == sorted(told)
    assert (told[0], told[-1], len(set(told)) > 5) == (0, 1, True)


async def test_without_an_index_on_the_id_an_empty_side_lacks_every_row(empty: Sides) -> None:
    await empty.both(*NO_INDEX)
    assert (await swept(empty)).rows == (0, 0)
    await empty.first.run(COPY.format(1, 10))
    result = await swept(empty)
    assert ([len(found) for found in kinds(result)], result.rows) == ([10, 0, 0], (10, 0))


async def test_partitioned_tables_are_swept(empty: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    await empty.both(
        "create table records (id bigint generated by default as identity, uuid uuid not null unique, data text)"
        " partition by hash (uuid)",
        *(f"create table p{at} partition of records for values with (modulus 3, remainder {at})" for at in range(3)),
        "create index on records (id)",
        COPY.format(1, 1000),
    )
    with asked(monkeypatch) as statements:
        assert kinds(await swept(empty)) == NOTHING
    assert len([values for values in statements if "most" in values]) > 20
    await empty.first.run(f"delete from records where uuid = {md5(500)}")
    await empty.second.run(f"update records set data = 'x' where uuid = {md5(501)}")
    assert [len(found) for found in kinds(await swept(empty))] == [0, 1, 1]


async def test_differences_among_clustered_uuids_are_found(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but two rows lie in one range, which is digested again by uuid."""
    monkeypatch.setattr(search, "MOST_ROWS_FETCHED", 100)
    monkeypatch.setattr(search, "ROWS_PER_PART", 20)
    await sides.both(
        f"insert into records (uuid, data) select {V7}, i::text from generate_series(1, 5000) i",
        f"insert into records (uuid, data) values ('{name(0)}', ''), ('ffffffff-ffff-4fff-8fff-ffffffffffff', '')",
    )
    assert kinds(await swept(sides)) == NOTHING
    ((one,), (other,)) = await sides.first.rows("select uuid::text from records where data in ('77', '4321')")
    await sides.first.run(f"delete from records where uuid in ('{one}', '{other}')")
    with asked(monkeypatch) as statements:
        assert kinds(await swept(sides)) == ((), tuple(sorted((one, other))), ())
    by_uuid = [values for values in statements if isinstance(values.get("start"), str)]
    assert len(by_uuid) >= 2 * (5000 // 70)


async def test_a_sweep_is_broken_off_when_too_much_differs(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "MOST_SWEPT", 100)
    monkeypatch.setattr(search, "MOST_ROWS_FETCHED", 50)
    await sides.first.run(COPY.format(1, 2000))
    result = await swept(sides)
    assert not result.complete
    assert 100 <= len(result.only_in_first) <= 150


@pytest.mark.long
async def test_pair_under_traffic_is_equal(sides: Sides) -> None:
    await sides.both(COPY.format(1_000_001, 1_001_000))
    async with traffic(sides):
        for _ in range(5):
            result = await swept(sides, settle_seconds=PATIENCE_SECONDS)
            assert (kinds(result), result.complete) == (NOTHING, True)


async def under_way(sides: Sides, settle_seconds: float) -> Swept:
    """A sweep of a pair on which 300 rows arrive, in both directions, when it looks at its suspects again."""
    await sides.both(COPY.format(1, 1000))
    await sides.first.run(COPY.format(1001, 1300))
    await sides.second.run(COPY.format(2001, 2300))
    looks_again = asyncio.Event()

    async def follow() -> None:
        await looks_again.wait()
        await sides.second.run(COPY.format(1001, 1300))
        await sides.first.run(COPY.format(2001, 2300))

    def tell(what: str, _: int, __: int) -> None:
        if what == "look again":
            looks_again.set()

    following = asyncio.create_task(follow())
    try:
        return await swept(sides, settle_seconds=settle_seconds, tell=tell)
    finally:
        looks_again.set()
        await following


async def test_rows_under_way_are_not_reported(sides: Sides) -> None:
    assert kinds(await under_way(sides, PATIENCE_SECONDS)) == NOTHING


async def test_lasting_differences_are_reported_though_others_arrive(sides: Sides) -> None:
    await sides.first.run(f"insert into records (uuid, data) values ('{name(1)}', ''), ('{name(3)}', 'x')")
    await sides.second.run(f"insert into records (uuid, data) values ('{name(2)}', ''), ('{name(3)}', 'y')")
    result = await under_way(sides, 3.0)
    assert kinds(result) == ((name(1),), (name(2),), (name(3),))
    assert result.seconds >= 3.0


async def test_without_a_second_look_rows_under_way_would_be_reported(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above can fail."""

    async def lasting(_: Any, suspects: dict[str, Any], *__: Any) -> dict[str, Any]:
        return suspects

    monkeypatch.setattr(search, "lasting", lasting)
    assert [len(found) for found in kinds(await under_way(sides, PATIENCE_SECONDS))] == [300, 300, 0]


@contextmanager
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many rows each look into ranges brought."""
    numbers: list[int] = []
    plain = TableSide.hashes

    async def hashes(side: TableSide, ranges: Any) -> dict[str, int]:
        rows = await plain(side, ranges)
        numbers.append(len(rows))
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(TableSide, "hashes", hashes)
        yield numbers


async def looked_into(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows fetched by a sweep of a pair on which rows were under way in both directions as it began."""
    await sides.both(COPY.format(1, 3000))
    await sides.first.run(COPY.format(3001, 3100))
    await sides.second.run(COPY.format(4001, 4100))

    async def arrive() -> None:
        await sides.first.run(COPY.format(4001, 4100), COPY.format(5001, 5100))
        await sides.second.run(COPY.format(5001, 5100), COPY.format(3001, 3100))

    after_the_pass(monkeypatch, arrive)
    with fetched(monkeypatch) as numbers:
        result = await swept(sides, settle_seconds=PATIENCE_SECONDS)
    assert (kinds(result), result.rows) == (NOTHING, (3100, 3100))
    return sum(numbers)


async def test_rows_that_came_later_are_not_fetched_with_those_beside_them(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uuids that begin with a time all fall into the last range."""
    rows = f"insert into records (uuid, data) select {V7}, i::text from generate_series({{}}) i"
    await sides.both(rows.format("1, 1000"))
    uuid = await sides.first.value("select uuid::text from records order by uuid desc limit 1")
    await sides.second.run(f"delete from records where uuid = '{uuid}'")
    after_the_pass(monkeypatch, lambda: sides.both(rows.format("1001, 4000")))
    with fetched(monkeypatch) as numbers:
        assert kinds(await swept(sides)) == ((uuid,), (), ())
    assert 0 < sum(numbers) < 200


async def test_rows_under_way_when_it_began_cost_no_search(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await looked_into(sides, monkeypatch) == 0


async def test_without_what_came_later_most_rows_would_be_fetched(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: two hundred rows lie in most of the ranges."""

    async def mend(*_: Any) -> None:
        pass

    monkeypatch.setattr(sweep_module, "_mend", mend)
    assert await looked_into(sides, monkeypatch) > 3000


async def test_a_row_that_came_late_and_is_another_is_reported(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    await sides.first.run(f"insert into records (uuid, data) values ('{name(1)}', 'x'), ('{name(2)}', 'x')")
    after_the_pass(
        monkeypatch,
        lambda: sides.second.run(f"insert into records (uuid, data) values ('{name(1)}', 'y'), ('{name(2)}', 'x')"),
    )
    assert kinds(await swept(sides, settle_seconds=0.2)) == ((), (), (name(1),))


async def test_statements_are_short_and_each_is_followed_by_a_rest(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sides.both(COPY.format(1, 1000))
    rests: list[float] = []

    def rest_seconds(worked_seconds: float, share: float) -> float:
        assert worked_seconds > 0
        rests.append(share)
        return 0.05

    monkeypatch.setattr(throttle, "rest_seconds", rest_seconds)
    with asked(monkeypatch) as statements:
        result = await swept(sides, share=0.3)
    assert kinds(result) == NOTHING
    passes = [values for values in statements if "most" in values]
    assert {values["most"] for values in passes} == {70}
    assert len(passes) == 2 * (1000 // 70 + 1)
    assert rests == [0.3] * len(statements)
    assert result.seconds >= 0.05 * (len(statements) / 2 - 1)


@contextmanager
def most_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """How many statements of sweeps a server ever had to work on at once."""
    most: dict[str, int] = {}
    now: Counter[str] = Counter()
    plain = TableSide._rows

    async def rows(side: TableSide, statement: Any, values: dict[str, Any]) -> list[Any]:
        label = side._server.label
        now[label] += 1
        most[label] = max(most.get(label, 0), now[label])
        try:
            return await plain(side, statement, values)
        finally:
            now[label] -= 1

    with monkeypatch.context() as patch:
        patch.setattr(TableSide, "_rows", rows)
        yield most


@pytest.mark.long
async def test_sweeps_of_many_tables_at_once_share_one_throttle(empty: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"t{at}" for at in range(5)]
    for name in names:
        await empty.make(name=name)
        await empty.both(COPY.format(1, 500).replace("records", name))
    throttles = throttle.throttles_of(1.0)
    with most_at_once(monkeypatch) as most:
        results = await asyncio.gather(*(swept(empty, table=name, throttles=throttles) for name in names))
    assert {(result.rows, kinds(result)) for result in results} == {((500, 500), NOTHING)}
    assert most == {"first": 1, "second": 1}


async def test_no_plan_reads_the_whole_table(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the planner thinks it the best it can do."""
    await sides.both(
        COPY.format(1, 20000),
        "do $$ begin execute format('alter database %I set random_page_cost = 1000', current_database()); end $$",
    )
    await sides.first.run(f"delete from records where uuid = {md5(10_000)}")
    monkeypatch.setattr(throttle, "FIRST_ROWS", 2000)
    monkeypatch.setattr(throttle, "MOST_ROWS", 2000)
    scans = "select coalesce(seq_tup_read, 0) from pg_stat_user_tables where relname = 'records'"
    before = await sides.second.value(scans)
    assert [len(found) for found in kinds(await swept(sides))] == [0, 1, 0]
    assert await sides.second.value(scans) == before


@pytest.mark.long
async def test_it_can_be_cancelled_at_every_statement(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    await sides.both(COPY.format(1, 60))
    await sides.first.run(COPY.format(61, 65))
    before = asyncio.all_tasks()
    plain = TableSide._rows
    left = 0

    async def rows(side: TableSide, statement: Any, values: dict[str, Any]) -> list[Any]:
        nonlocal left
        left -= 1
        if left == 0:
            sweeping.cancel()
        return await plain(side, statement, values)

    monkeypatch.setattr(TableSide, "_rows", rows)
    for at in range(1, 100):
        left = at
        sweeping = asyncio.create_task(swept(sides, settle_seconds=0.01))
        try:
            await sweeping
        except asyncio.CancelledError:
            assert asyncio.all_tasks() == before
        else:
            break
    assert at > 10


async def test_a_server_that_goes_away_is_named(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    await sides.both(COPY.format(1, 500))
    after_the_pass(
        monkeypatch,
        lambda: sides.second.run(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()",
            COPY.format(501, 501),
        ),
    )
    await sides.first.run(COPY.format(502, 502))
    before = asyncio.all_tasks()
    with pytest.raises(Unavailable, match=r"second \("):
        await swept(sides)
    assert asyncio.all_tasks() == before


async def test_tables_of_another_shape_are_refused(empty: Sides) -> None:
    await empty.first.run("create table records (id serial, uuid uuid not null unique, data text)")
    await empty.second.run("create table records (id serial, uuid uuid not null unique, data integer)")
    with pytest.raises(TableUnfit, match="column data is text in first and integer in second"):
        await swept(empty)
