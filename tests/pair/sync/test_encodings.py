"""Rows cross between databases that keep their text in different encodings."""

from collections.abc import Iterator

import pytest

from snk.pair.servers import EmbeddedPair
from tests.conftest import PairUrls
from tests.kit.databases import Database, until
from tests.kit.encodings import WORDS, encoded_pair
from tests.pair.conftest import OFTEN, Running, until_healthy
from tests.pair.sync.test_sweeper import until_proven

TABLE = (
    'create table texts (id bigserial primary key, uuid uuid not null unique, word text, "{0}" varchar(20),'
    " list text[], document jsonb, feeling mood, found tsvector)"
)
ROWS = (
    "insert into texts (uuid, word, \"{0}\", list, document, feeling, found) select md5('{3}' || n)::uuid, '{0}' || n,"
    " '{1}', array['{0}', null, '{2}'], jsonb_build_object('{1}', n, 'zz', '{2}'), '{0}', '{1}:1 {2}:2,3 zz'"
    " from generate_series(1, {4}) n"
)


@pytest.fixture(params=WORDS)
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(servers: EmbeddedPair, encoding: str) -> Iterator[PairUrls]:
    """The first database has the encoding, the second is UTF8."""
    with encoded_pair(servers, encoding, "UTF8") as made:
        yield made


@pytest.fixture
async def words(encoding: str, first: Database, second: Database) -> tuple[str, ...]:
    """What both can hold, and a table for it in both."""
    for side in (first, second):
        await side.run(f"create type mood as enum ('sad', '{WORDS[encoding][0]}')", TABLE.format(*WORDS[encoding]))
    return WORDS[encoding]


async def untroubled(*sides: Database) -> bool:
    found = [
        await side.value("select (select count(*) from snk.conflicts) + (select count(*) from snk.rejected)")
        for side in sides
    ]
    return not any(found)


@pytest.mark.long
@pytest.mark.sampled(2)
async def test_texts_of_all_kinds_cross_both_ways_and_are_proven_equal(
    running: Running, first: Database, second: Database, words: tuple[str, ...]
) -> None:
    async with running("texts", sweeps=OFTEN) as daemon:
        await first.run(ROWS.format(*words, "a", 300), ROWS.format(*words, "b", 3))
        await second.run(ROWS.format(*words, "c", 300), ROWS.format(*words, "d", 3))
        await until(lambda: counted(606, first, second), "all rows on both sides")
        await until_proven(daemon)
        assert [sweep.found for sweep in daemon.status().sweeps] == [0]
        assert await untroubled(first, second)
        await until_healthy(daemon)


async def counted(rows: int, *sides: Database) -> bool:
    return [await side.value("select count(*) from texts") for side in sides] == [rows, rows]


@pytest.mark.long
@pytest.mark.sampled(2)
async def test_rows_that_both_sides_have_already_are_no_conflicts(
    running: Running, first: Database, second: Database, words: tuple[str, ...]
) -> None:
    for side in (first, second):
        await side.run(ROWS.format(*words, "a", 300))
    async with running("texts", sweeps=OFTEN) as daemon:
        await first.run(ROWS.format(*words, "b", 3))
        await until(lambda: counted(303, first, second), "the rows that one side has")
        await until_proven(daemon)
        assert await untroubled(first, second)


@pytest.mark.long
@pytest.mark.sampled(2)
async def test_a_row_that_differs_is_a_conflict(
    running: Running, first: Database, second: Database, words: tuple[str, ...]
) -> None:
    for side in (first, second):
        await side.run(ROWS.format(*words, "a", 10))
    await second.run(f"update texts set document = jsonb_build_object('{words[1]}', 5, 'zz', 5) where id = 5")
    async with running("texts", sweeps=OFTEN) as daemon:
        await until_proven(daemon)
    found = [await side.value("select count(*) from snk.conflicts") for side in (first, second)]
    assert sum(found) >= 1


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP"])
async def test_characters_that_one_side_lacks_keep_only_their_rows(
    running: Running, first: Database, second: Database, words: tuple[str, ...]
) -> None:
    async with running("texts", sweeps=OFTEN) as daemon:
        await second.run(
            ROWS.format(*words, "a", 300),
            "insert into texts (uuid, word) values (gen_random_uuid(), 'žluť 🐎')",
            "insert into texts (uuid, document) values (gen_random_uuid(), '{\"🐎\": 1}')",
            "insert into texts (uuid, list) values (gen_random_uuid(), array['🐎'])",
            ROWS.format(*words, "b", 3),
        )
        await until(lambda: counted_beside(303, 3, first, second), "all rows that first can hold")

        async def set_aside() -> bool:
            return daemon.status().sweeps[0].set_aside == 3

        await until(set_aside, "three rows to be set aside")
        await until_proven(daemon)
        reasons = await first.rows("select sqlstate, error from snk.rejected")
        assert {state for state, _ in reasons} == {"22P05"}
        assert all("has no equivalent in encoding" in error for _, error in reasons)
        await first.run(ROWS.format(*words, "c", 3))
        await until(lambda: counted_beside(306, 3, first, second), "rows that come later")


async def counted_beside(rows: int, aside: int, first: Database, second: Database) -> bool:
    held = await first.value("select count(*) from snk.rejected")
    counts = [await side.value("select count(*) from texts") for side in (first, second)]
    return counts == [rows, rows + aside] and held == aside


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["SQL_ASCII"])
async def test_a_text_that_is_too_long_without_an_encoding_is_set_aside_and_not_cut(
    running: Running, first: Database, second: Database
) -> None:
    """Three characters of UTF8 are six where there is no encoding; a cast would cut them without a word."""
    columns = "id bigserial primary key, uuid uuid not null unique, fix char(3), many varchar(3)[], own few"
    for side in (first, second):
        await side.run("create domain few as varchar(3)", f"create table short ({columns})")
    row = "insert into short (uuid, fix, many, own) values (gen_random_uuid(), {}, array[{}], {})"
    async with running("short"):
        for values in (
            ("'äöü'", "'a'", "'a'"),
            ("'a'", "'äöü'", "'a'"),
            ("'a'", "'a'", "'äöü'"),
            ("'abc'", "'ä'", "'ü'"),
        ):
            await second.run(row.format(*values))

        async def settled() -> bool:
            return [await first.value(f"select count(*) from {table}") for table in ("short", "snk.rejected")] == [1, 3]

        await until(settled, "three rows set aside, and one that came")
        assert await first.value("select count(*) from snk.rejected where sqlstate = '22001'") == 3
        assert await first.value("select fix::text || many[1] || own = 'abcäü' from short")
