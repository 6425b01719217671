"""Text that is the same is found to be the same whatever the encodings of the databases, and no other is."""

from collections.abc import Iterator

import pytest

from snk.db.server import Server
from snk.pair.servers import EmbeddedPair
from snk.pair.table import statement
from snk.pair.verify.sweep import sweep
from snk.pair.verify.throttle import throttles_of
from tests.kit.databases import Database
from tests.kit.encodings import WORDS, encoded_pair
from tests.pair.verify.conftest import Sides
from tests.pair.verify.test_compare import name

# By the encoding beside UTF8, and which side has it.
MIXED = [(encoding, side) for encoding in WORDS for side in ("first", "second")]
MIXED_TWICE = [("LATIN1", "WIN1252"), ("SQL_ASCII", "LATIN1"), ("EUC_JP", "EUC_JP"), ("LATIN1", "LATIN1")]
COLUMNS = (
    'word text, short varchar(20), "{0}" char(20), list text[], document jsonb, documents jsonb[], plain json,'
    ' feeling mood, found tsvector, whole pair_of, letter "char", loose loose, number bigint, amount numeric'
)
VALUES = (
    "'{0}', '{0}', '{1}', array['{0}', null, 'a'], '{{\"{1}\": 1, \"zz\": {{\"{2}\": [\"{0}\", {{}}], \"y\": []}}}}',"
    " array['{{\"{2}\": 1, \"zz\": 2}}', '1']::jsonb[], '{{\"{1}\": \"\\u0041\"}}', '{0}', '{1}:1A {2}:2,3 zz',"
    " row('{0}', '{{\"{1}\": 1, \"zz\": 2}}'::jsonb)::pair_of, 'x', '{{\"{1}\": 1, \"zz\": 2}}', 7, 1.10"
)


@pytest.fixture(params=[*MIXED, *MIXED_TWICE], ids="-".join)
def encodings(request: pytest.FixtureRequest) -> tuple[str, str]:
    one, other = request.param
    if other == "first":
        return one, "UTF8"
    return ("UTF8", one) if other == "second" else (one, other)


@pytest.fixture
def words(encodings: tuple[str, str]) -> tuple[str, ...]:
    """What the narrower of the two encodings can hold."""
    return next(WORDS[name] for name in WORDS if name in encodings and (name != "SQL_ASCII" or name in encodings))


@pytest.fixture
def empty(servers: EmbeddedPair, encodings: tuple[str, str]) -> Iterator[Sides]:
    with encoded_pair(servers, *encodings) as pair:
        yield Sides(Database(pair.first), Database(pair.second))


@pytest.fixture
async def sides(empty: Sides, words: tuple[str, ...]) -> Sides:
    """A table of all kinds of text; its columns and its enum have such names, too."""
    await empty.both(
        f"create type mood as enum ('sad', '{words[0]}')",
        "create type pair_of as (word text, document jsonb)",
        "create domain loose as jsonb",
    )
    await empty.make(COLUMNS.format(*words))
    return empty


async def differing(sides: Sides) -> list[tuple[int, int, int]]:
    """How many rows are only in first, only in second, or different: to a comparison, and to a sweep."""
    servers = Server("first", sides.first.dsn), Server("second", sides.second.dsn)
    compared = await sides.compare()
    swept = await sweep(*servers, "records", throttles=throttles_of(1.0), settle_seconds=0)
    return [(len(found.only_in_first), len(found.only_in_second), len(found.different)) for found in (compared, swept)]


def filled(words: tuple[str, ...], rows: int = 50) -> str:
    values = VALUES.format(*words)
    return f"insert into records select n, md5(n::text)::uuid, {values} from generate_series(1, {rows}) n"


@pytest.fixture(params=[statement.FEW_COLUMNS, 0], ids=["narrow", "wide"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements of wide tables are made and kept in another way: so they are of these, too."""
    monkeypatch.setattr(statement, "FEW_COLUMNS", request.param)


@pytest.mark.long
@pytest.mark.sampled(3)
@pytest.mark.usefixtures("few")
async def test_the_same_text_in_other_bytes_is_the_same(sides: Sides, words: tuple[str, ...]) -> None:
    await sides.both(filled(words))
    assert await differing(sides) == [(0, 0, 0)] * 2


# Each but the first differs from it.
OTHERS = {
    "word": ["'{0}'", "'{1}'", "'{0} '", "null"],
    "list": ["array['{1}', '{2}']", "array['{2}', '{1}']"],
    "document": [
        '\'{{"{1}": 1, "zz": 2}}\'',
        '\'{{"{1}": 2, "zz": 1}}\'',
        '\'{{"zz": {{"{1}": 1}}}}\'',
        "'[\"{1}\", 1]'",
        "'[1, \"{1}\"]'",
    ],
    "found": ["'{1}:1 {2}:2'", "'{1}:2 {2}:1'", "'{1}:1A {2}:2'"],
    "whole": [
        "row('{0}', '{{\"{1}\": 1, \"zz\": 2}}'::jsonb)::pair_of",
        "row('{0}', '{{\"{1}\": 2, \"zz\": 1}}'::jsonb)::pair_of",
    ],
}


@pytest.mark.long
@pytest.mark.sampled(3)
@pytest.mark.usefixtures("few")
async def test_other_text_is_found(sides: Sides, words: tuple[str, ...]) -> None:
    number = 0
    for column, values in OTHERS.items():
        for value in values[1:]:
            number += 1
            for side, written in ((sides.first, values[0]), (sides.second, value)):
                row = f"insert into records (uuid, {column}) select md5('{number}')::uuid, {written}"
                await side.run(row.format(*words))
    assert await differing(sides) == [(0, 0, number)] * 2


def odd(code: str, encoding: str = "WIN1252") -> str:
    return f"convert_from('\\x{code}', '{encoding}')"


@pytest.mark.parametrize("encodings", [("WIN1252", "UTF8"), ("UTF8", "WIN1252"), ("WIN1252", "LATIN1")], ids="-".join)
async def test_characters_that_utf8_lacks_stop_no_comparison(empty: Sides, encodings: tuple[str, str]) -> None:
    """The other side cannot have such a row; whatever it has under its uuid is another one."""
    await empty.make("word text, document jsonb")
    await empty.both(
        "insert into records (uuid, word, document) select md5(n::text)::uuid, 'é', '{\"é\": 1}'"
        " from generate_series(1, 100) n"
    )
    win, other = (empty.first, empty.second) if encodings[0] == "WIN1252" else (empty.second, empty.first)
    await win.run(
        f"insert into records (uuid, word) values ('{name(1)}', {odd('6181')}), ('{name(2)}', {odd('c28d')})",
        f"insert into records (uuid, document) values ('{name(3)}', to_jsonb({odd('e99d')}))",
    )
    # The bytes that the second of them has are this in UTF8.
    control = "chr(141)" if "UTF8" in encodings else "'\u00c2'"
    await other.run(f"insert into records (uuid, word) values ('{name(2)}', {control})")
    missing = (2, 0) if win is empty.first else (0, 2)
    assert await differing(empty) == [(*missing, 1)] * 2


@pytest.mark.long
@pytest.mark.parametrize("encodings", [("SQL_ASCII", "UTF8"), ("LATIN1", "SQL_ASCII")], ids="-".join)
async def test_bytes_that_are_no_text_stop_no_comparison(empty: Sides, encodings: tuple[str, str]) -> None:
    await empty.make("word text, document jsonb, list text[]")
    await empty.both(
        "insert into records (uuid, word, document, list) select md5(n::text)::uuid, 'é',"
        " '{\"é\": 1, \"zz\": 2}', array['é'] from generate_series(1, 100) n"
    )
    raw, other = (empty.first, empty.second) if encodings[0] == "SQL_ASCII" else (empty.second, empty.first)
    no_text = odd("61ff62", "SQL_ASCII")
    await raw.run(
        "insert into records (uuid, word, document, list)"
        f" values ('{name(1)}', {no_text}, to_jsonb({no_text}), array[{no_text}])"
    )
    missing = (1, 0) if raw is empty.first else (0, 1)
    assert await differing(empty) == [(*missing, 0)] * 2
    await other.run(f"insert into records (uuid, word) values ('{name(1)}', 'a')")
    assert await differing(empty) == [(0, 0, 1)] * 2
