"""Every column type crosses unchanged, in both directions, NULLs included."""

import pytest

from tests.kit.databases import Database, until_equal
from tests.pair.conftest import Running

# Column type, and values as PostgreSQL reads them.
TYPES: dict[str, list[str]] = {
    "smallint": ["-32768", "0", "32767"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["0", "-0", "3.4028235e38", "1e-45", "NaN", "-Infinity", "0.1"],
    "double precision": ["1.7976931348623157e308", "5e-324", "NaN", "Infinity", "0.1", "-0"],
    "numeric": ["0", "-0.000", "1.10", "NaN", "Infinity", "1e100", "123456789012345678901234567890.123456789"],
    "numeric(12,4)": ["1.5", "-99999999.9999"],
    "text": [
        "",
        " ",
        "a\u0001\u0007\t\n\r\\b",
        "\u007f\u0085\u200b\ufeff",
        "žluťoučký 🐎 👩‍👩‍👧",
        "\U0010ffff",
        "NULL",
        "'\"{},()",
    ],
    "varchar(5)": ["", "ěščřž", "a\\'\"b"],
    "char(4)": ["", "ab", "abcd"],
    '"char"': ["", "x"],
    "name": ["some_name"],
    "bytea": ["", "\\x00", "\\x00ff5c27", "\\x" + "00ff" * 500],
    "boolean": ["true", "false"],
    "date": ["0001-01-01", "4713-01-01 BC", "5874897-12-31", "infinity", "-infinity", "2024-02-29"],
    "time": ["00:00:00", "24:00:00", "23:59:59.999999"],
    "timetz": ["00:00:00+14", "24:00:00-12:30:15"],
    "timestamp": ["4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "2024-02-29 12:00:00.000001"],
    "timestamptz": ["2024-03-31 02:30:00+01", "0001-01-01 00:00:00+00 BC", "-infinity", "294276-12-31 23:59:59+00"],
    "timestamptz(3)": ["2024-03-31 02:30:00.123+01"],
    "interval": ["1 year 2 mons -3 days 04:05:06.789", "-178000000 years", "00:00:00", "-00:00:00.000001"],
    "interval day to second(3)": ["3 days 04:05:06.789"],
    "json": ['{"b":  1, "a": [1,2 , null], "b": 2}', "null", '"\\u00e9"', "1.0"],
    "jsonb": ['{"b": 1, "a": [1, 2, null]}', "null", "1.0", '"é"'],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "inet": ["10.0.0.1", "10.0.0.0/8", "::1", "fe80::1/64"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03"],
    "money": ["-12345.67"],
    "bit(5)": ["10101"],
    "bit varying": ["", "1", "0101"],
    "point": ["(1.5,-0)"],
    "path": ["((0,0),(1,1),(2,0))"],
    "tsvector": ["'a':1A 'fat':2B,4C"],
    "pg_lsn": ["16/B374D848"],
    "mood": ["sad", "so so", "it''s"],
    "positive": ["1", "2147483647"],
    "email": ["a@b", "ä@ö"],
    "pair_of": ['(1,"a ""quoted"", text")', "(,)"],
    "integer[]": ["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={7,8}", "{1,2,3,4,5,6,7,8,9}"],
    "text[]": ["{}", '{"",NULL,"NULL","a,b","\\"","\\\\"}', '{{"a"},{"b"}}'],
    "varchar(5)[]": ["{}", "{a,NULL,ěščřž}", '{{"a"},{"b"}}'],
    "numeric(6,2)[]": ["{1.10,NaN}"],
    "bytea[]": ['{"\\\\x00ff","\\\\x"}'],
    "uuid[]": ["{00000000-0000-0000-0000-000000000000}"],
    "jsonb[]": ['{"{\\"a\\": 1}",NULL}'],
    "mood[]": ['{sad,"so so"}'],
    "positive[]": ["{1,2}"],
    "int4range": ["empty", "[1,5)", "(,)", "[3,)"],
    "numrange": ["(1.10,2.20]"],
    "tstzrange": ['["2024-01-01 00:00:00+00",infinity)'],
    "int8multirange": ["{}", "{[1,3),[5,9)}"],
    "daterange[]": ['{"[2024-01-01,2024-02-01)",empty}'],
}

MAKE_TYPES = (
    "create type mood as enum ('sad', 'so so', 'it''s')",
    "create domain positive as integer check (value > 0)",
    "create domain email as text check (value like '%@%')",
    "create type pair_of as (number integer, words text)",
)


def table() -> str:
    columns = ", ".join(f"c{at} {name}" for at, name in enumerate(TYPES))
    return (
        "create table everything (id integer generated always as identity primary key, uuid uuid not null unique,"
        f" {columns}, doubled bigint generated always as (c1::bigint * 2) stored)"
    )


def inserts() -> list[str]:
    """For each type a row with each value, and a row of NULLs."""
    rows = ["insert into everything (uuid) values (gen_random_uuid())"]
    for at, (name, values) in enumerate(TYPES.items()):
        for value in values:
            literal = value if name == "mood" else value.replace("'", "''")
            rows.append(f"insert into everything (uuid, c{at}) values (gen_random_uuid(), '{literal}')")
    return rows


async def test_every_type_crosses_unchanged(running: Running, first: Database, second: Database) -> None:
    for side in (first, second):
        await side.run(*MAKE_TYPES, table())
    rows = inserts()
    async with running("everything"):
        await first.run(*rows[::2])
        await second.run(*rows[1::2])
        await until_equal(first, second, len(rows), "everything")


@pytest.mark.long
async def test_settings_of_a_role_do_not_change_what_crosses(
    running: Running, first: Database, second: Database
) -> None:
    """One side may write dates, floats and intervals in a fashion of its own."""
    name = await second.value("select quote_ident(current_database())")
    await second.run(
        f"alter database {name} set datestyle = 'SQL, DMY'",
        f"alter database {name} set intervalstyle = 'sql_standard'",
        f"alter database {name} set extra_float_digits = -5",
        f"alter database {name} set timezone = 'Asia/Kolkata'",
        f"alter database {name} set bytea_output = 'escape'",
        f"alter database {name} set lc_monetary = 'C'",
    )
    await test_every_type_crosses_unchanged(running, first, second)


ODD = {
    "empty texts only": "''",
    "words": "'ěš ' || n",
    "a NULL among them": "nullif(n::text, '7')",
    "the separator in one": "case n when 7 then 'a' || chr(30) || 'b' else n::text end",
    "as many separators as rows are NULL": "case n when 7 then chr(30) when 8 then null else n::text end",
    "what stands for NULL": "case n when 7 then chr(31) else n::text end",
    "what stands for NULL, and a NULL": "case n when 7 then chr(31) when 8 then null else n::text end",
    "what stands for NULL within one": "case n when 7 then 'a' || chr(31) when 8 then null else n::text end",
    "NULLs only": "null",
}


@pytest.mark.parametrize("kind", ODD)
async def test_many_texts_at_once_cross_unchanged(
    running: Running, first: Database, second: Database, kind: str
) -> None:
    for side in (first, second):
        await side.run(
            "create table texts (id serial primary key, uuid uuid not null unique, words text, amount numeric,"
            " day date)"
        )
    async with running("texts"):
        await first.run(
            "insert into texts (uuid, words, amount, day)"
            f" select gen_random_uuid(), {ODD[kind]}, n / 7.0, date '2024-02-29' + n from generate_series(1, 600) n"
        )
        await until_equal(first, second, 600, "texts")
