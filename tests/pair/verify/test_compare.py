"""What differs between two databases is found, all of it and nothing else."""

import asyncio

import pytest

from snk.errors import TableUnfit, Unavailable
from snk.pair.verify import search
from snk.pair.verify.digest import TableSide
from tests.kit.databases import Database, until
from tests.pair.verify.conftest import Sides

# Two values each that are easily taken for the same.
ALIKE: dict[str, list[tuple[str, str]]] = {
    "smallint": [("0", "1")],
    "integer": [("0", "-1"), ("1", "65537")],
    "bigint": [("0", "4294967297"), ("1", "4294967296"), ("-1", "9223372036854775807")],
    "real": [("0", "-0"), ("NaN", "Infinity")],
    "double precision": [("0.1", "0.10000000000000002"), ("0", "-0"), ("NaN", "0")],
    "numeric": [("1.0", "1.00"), ("NaN", "0")],
    "text": [("", " "), ("é", "e\u0301"), ("a", "A"), ("1", "\u200b1")],
    "varchar(5)": [("a", "a ")],
    "char(4)": [("ab", "abc")],
    "bytea": [("", "\\x00"), ("\\x0001", "\\x0100")],
    "boolean": [("true", "false")],
    "date": [("infinity", "-infinity")],
    "time": [("00:00:00", "24:00:00")],
    "timestamp": [("2024-02-29 12:00:00.000001", "2024-02-29 12:00:00.000002")],
    "timestamptz": [("2024-03-31 02:30:00+01", "2024-03-31 02:30:00+02")],
    "interval": [("1 day", "24:00:00"), ("1 mon", "30 days")],
    "json": [('{"a":1}', '{"a": 1}')],
    "jsonb": [("1.0", "1.00"), ("null", "{}"), ('{"a": [1, 2]}', '{"a": [2, 1]}')],
    "uuid": [("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001")],
    "inet": [("10.0.0.1", "10.0.0.1/8")],
    "point": [("(0,0)", "(0,-0)")],
    "int4range": [("[1,3)", "[1,4)"), ("empty", "(,)")],
    "integer[]": [("{1,2}", "{{1,2}}"), ("{}", "{NULL}"), ("[0:1]={1,2}", "{1,2}")],
    "text[]": [("{NULL}", '{"NULL"}')],
}
PAIRS = [(kind, *values) for kind, listed in ALIKE.items() for values in listed]


def quoted(value: str | None) -> str:
    return "null" if value is None else "'" + value.replace("'", "''") + "'"


def name(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


async def test_empty_tables_are_equal(sides: Sides) -> None:
    result = await sides.compare()
    assert result.equal
    assert (result.table, result.rows.first, result.rows.second) == ("public.records", 0, 0)


async def test_rows_are_compared_and_their_order_and_ids_are_not(sides: Sides) -> None:
    rows = "insert into records (uuid, data) select md5(i::text)::uuid, nullif(i, 7)::text from generate_series({}) i"
    await sides.first.run(rows.format("1, 1000"))
    await sides.second.run(rows.format("1000, 1, -1"))
    result = await sides.compare()
    assert result.equal
    assert (result.rows.first, result.rows.second) == (1000, 1000)


async def test_each_kind_of_difference_is_named(sides: Sides) -> None:
    await sides.both(f"insert into records (uuid, data) values ('{name(0)}', 'same')")
    await sides.first.run(f"insert into records (uuid, data) values ('{name(1)}', 'x'), ('{name(3)}', 'x')")
    await sides.second.run(f"insert into records (uuid, data) values ('{name(2)}', 'x'), ('{name(3)}', null)")
    result = await sides.compare()
    assert not result.equal
    assert result.complete
    assert result.only_in_first == (name(1),)
    assert result.only_in_second == (name(2),)
    assert result.different == (name(3),)


async def test_one_empty_side_lacks_every_row(sides: Sides) -> None:
    await sides.second.run(f"insert into records (uuid, data) values ('{name(1)}', 'x')")
    result = await sides.compare()
    assert (result.only_in_first, result.only_in_second, result.different) == ((), (name(1),), ())


@pytest.mark.long
async def test_values_of_every_type_that_look_alike_are_told_apart(empty: Sides) -> None:
    await empty.make(", ".join(f"c{at} {kind}" for at, (kind, *_) in enumerate(PAIRS)))
    expected = set[str]()
    for at, (_, one, other) in enumerate(PAIRS):
        for offset, values in enumerate(((one, one), (one, other), (None, one), (other, None), (None, None))):
            row = name(10 * at + offset)
            for side, value in zip((empty.first, empty.second), values, strict=True):
                await side.run(f"insert into records (uuid, c{at}) values ('{row}', {quoted(value)})")
            if values[0] != values[1]:
                expected.add(row)
    result = await empty.compare()
    assert set(result.different) == expected
    assert (result.only_in_first, result.only_in_second) == ((), ())


@pytest.mark.long
async def test_rows_that_exchanged_their_contents_are_different(sides: Sides) -> None:
    """With these values a sum over PostgreSQL's plain hashes of records is the same on both sides."""
    insert = f"insert into records (uuid, data) values ('{name(1)}', '{{}}'), ('{name(2)}', '{{}}')"
    for at in range(1, 11):
        await sides.both("truncate records")
        await sides.first.run(insert.format(f"a{at}", f"b{at}"))
        await sides.second.run(insert.format(f"b{at}", f"a{at}"))
        assert (await sides.compare()).different == (name(1), name(2)), at


async def test_rows_of_nothing_are_known_by_their_uuid(empty: Sides) -> None:
    await empty.make("a smallint, b integer, c boolean, d bytea, e uuid, f text")
    for number, side in enumerate((empty.first, empty.second)):
        await side.run(f"insert into records (uuid) values ('{name(number)}'), ('{name(7)}')")
    result = await empty.compare()
    assert (result.only_in_first, result.only_in_second, result.different) == ((name(0),), (name(1),), ())


async def test_values_that_changed_columns_are_different(empty: Sides) -> None:
    await empty.make("a text, b text")
    await empty.first.run(f"insert into records (uuid, a, b) values ('{name(1)}', 'x', null), ('{name(2)}', 'x', 'y')")
    await empty.second.run(f"insert into records (uuid, a, b) values ('{name(1)}', null, 'x'), ('{name(2)}', 'y', 'x')")
    assert (await empty.compare()).different == (name(1), name(2))


async def test_table_whose_rows_no_unique_key_spans_is_refused(sides: Sides) -> None:
    await sides.both("create table child () inherits (records)")
    with pytest.raises(TableUnfit, match="has child tables"):
        await sides.compare()


async def fifteen_differences(sides: Sides, uuids: list[str]) -> None:
    """Five rows missing on each side, and five that differ."""

    def some(at: int) -> str:
        return ", ".join(f"'{uuid}'" for uuid in uuids[at : at + 5])

    await sides.first.run(f"delete from records where uuid in ({some(0)})")
    await sides.second.run(
        f"delete from records where uuid in ({some(5)})",
        f"update records set data = data || ' ' where uuid in ({some(10)})",
    )
    result = await sides.compare()
    assert result.complete
    assert result.only_in_second == tuple(sorted(uuids[:5]))
    assert result.only_in_first == tuple(sorted(uuids[5:10]))
    assert result.different == tuple(sorted(uuids[10:15]))


@pytest.mark.full
async def test_fifteen_differences_in_a_million_rows_are_found(sides: Sides) -> None:
    await sides.both(
        "insert into records (uuid, data)"
        " select md5(i::text)::uuid, md5((-i)::text) from generate_series(1, 1000000) i",
        "analyze records",
    )
    assert (await sides.compare()).equal
    uuids = await sides.first.rows("select md5((66667 * i)::text)::uuid::text from generate_series(1, 14) i")
    ends = await sides.first.rows("select uuid::text from records order by uuid limit 1")
    await fifteen_differences(sides, [uuid for (uuid,) in [*uuids, *ends]])


async def test_differences_among_clustered_uuids_are_found(sides: Sides) -> None:
    """Uuids that begin with a time lie in a sliver of all uuids, here between two that are far from them."""
    clustered = "(lpad(to_hex(1763700000000 + i / 10), 12, '0') || '7' || left(md5(i::text), 19))::uuid"
    await sides.both(
        f"insert into records (uuid, data) select {clustered}, i::text from generate_series(1, 100000) i",
        f"insert into records (uuid, data) values ('{name(0)}', ''), ('ffffffff-ffff-4fff-8fff-ffffffffffff', '')",
    )
    uuids = await sides.first.rows(
        "select uuid::text from records where data in (select (6666 * i)::text from generate_series(1, 15) i)"
    )
    await fifteen_differences(sides, [uuid for (uuid,) in uuids])


async def test_search_is_broken_off_when_too_much_differs(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_DIFFERENCES", 100)
    monkeypatch.setattr(search, "MOST_ROWS_FETCHED", 50)
    await sides.first.run(
        "insert into records (uuid, data) select md5(i::text)::uuid, '' from generate_series(1, 2000) i"
    )
    result = await sides.compare()
    assert not result.equal
    assert not result.complete
    assert 100 <= len(result.only_in_first) <= 150


@pytest.mark.parametrize(("many", "way"), [(1, "hashes_in"), (300, "hashes")])
async def test_few_differences_are_found_in_classes_and_many_in_ranges(
    sides: Sides, monkeypatch: pytest.MonkeyPatch, many: int, way: str
) -> None:
    monkeypatch.setattr(search, "ROWS_PER_PART", 10)
    monkeypatch.setattr(search, "MOST_ROWS_FETCHED", 50)
    await sides.both("insert into records (uuid, data) select md5(i::text)::uuid, '' from generate_series(1, 3000) i")
    await sides.second.run(
        f"update records set data = 'other' where uuid in (select md5(i::text)::uuid from generate_series(1, {many}) i)"
    )
    changed = await sides.second.rows("select uuid::text from records where data = 'other' order by uuid")
    for other in {"hashes_in", "hashes"} - {way}:
        monkeypatch.delattr(TableSide, other)
    result = await sides.compare()
    assert (result.only_in_first, result.only_in_second) == ((), ())
    assert result.different == tuple(uuid for (uuid,) in changed)


async def test_tables_of_another_shape_are_refused(empty: Sides) -> None:
    await empty.first.run("create table records (id serial, uuid uuid not null unique, data text)")
    await empty.second.run("create table records (id serial, uuid uuid not null unique, data integer)")
    with pytest.raises(TableUnfit, match="column data is text in first and integer in second"):
        await empty.compare()


async def test_server_that_goes_away_is_named_at_once(sides: Sides) -> None:
    """Though the other one would work on its answer for as long as it likes."""

    async def waiting(database: Database) -> int:
        waiters = "from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        return int(await database.value(f"select count(*) {waiters}"))

    async def end_first() -> None:
        await until(lambda: waiting(sides.first), "first to be asked")
        await until(lambda: waiting(sides.second), "second to be asked")
        await sides.first.run(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )

    before = asyncio.all_tasks()
    async with sides.first.connect() as one, sides.second.connect() as other:
        for connection in (one, other):
            await connection.exec_driver_sql("lock table records in access exclusive mode")
        with pytest.raises(Unavailable, match=r"first \("):
            await asyncio.gather(sides.compare(), end_first())
    assert asyncio.all_tasks() == before
