"""The digest that the database computes is the one of the canonical form, whatever the rows hold."""

import json
from decimal import Decimal

import pytest
import sqlalchemy as sa

from snk.core.canonical import Digest
from snk.db.relation import columns_of, in_json
from snk.db.server import Server
from snk.db.summed import summed, summing
from snk.pair.servers import EmbeddedPair
from tests.kit.databases import Database
from tests.kit.serve import fresh_database

VALUES = {
    "integer": ["0", "-1", "2147483647", "null"],
    "bigint": ["9223372036854775807", "-9223372036854775808"],
    "boolean": ["true", "false", "null"],
    "numeric": [
        "0",
        "0.00",
        "1.50",
        "-12.5",
        "100",
        "100.00",
        "1e39",
        "0.000001",
        "-0.0000010",
        "1234567890.123456789",
    ],
    "double precision": ["1.5", "0.1", "1e15", "1e20", "123456789.123", "-0.0", "'1e-5'", "null"],
    "real": ["1.5", "0.1", "3.4e38", "16777216"],
    "text": [
        "''",
        "'ü\U0001f600'",
        r"""E'"\\\b\f\n\r\t\x01\x1f\x7f/<>&'""",
        "'2026-11-25'",
        "'2026-11-25T00:00:00'",
        "null",
    ],
    "character varying(20)": ["'one'", "'  '"],
    "uuid": ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    "date": ["'2026-11-25'", "'infinity'", "'0044-03-15 BC'"],
    "bytea": [r"'\x00ff'", "''"],
    "timestamp with time zone": [
        "'2026-11-25 00:00:00.5+01'",
        "'2026-11-25 10:00:00Z'",
        "'0001-01-01 00:00:00Z'",
        "'9999-12-31 23:59:59.999999Z'",
        "'2026-11-25 00:00:00.123450Z'",
        "null",
    ],
    "timestamp without time zone": ["'2026-11-25 00:00:00.5'", "'infinity'", "'10000-01-01'", "'2026-11-25'"],
}
OTHERS = {
    "numeric": ["'NaN'", "1e40", "0.0000001", "-1e45"],
    "double precision": ["'Infinity'", "1e-7", "1e300"],
    "text": ["'2026-11-25T00:00:00+01:00'", "'2026-11-25 00:00:00.50Z'"],
    "timestamp with time zone": ["'infinity'", "'10000-01-01 00:00:00Z'", "'0044-03-15 00:00:00Z BC'"],
}


async def both(dsn: str, table: str) -> tuple[Digest | None, Digest]:
    """As the database computes it, and as the canonical form says."""
    async with Server("database", dsn).connect() as connection:
        columns = await columns_of(connection, table)
        made = sa.table(table, *(sa.column(name) for name in columns))
        asked = summing({name: (made.c[name], each.base) for name, each in columns.items()}, made)
        assert asked is not None
        row = (await connection.execute(asked)).one()
        written = (in_json(made.c[name], each.base).label(name) for name, each in columns.items())
        record = sa.select(*written).correlate(made).lateral("r")
        text = sa.select(sa.cast(sa.func.row_to_json(record.table_valued()), sa.Text)).select_from(
            made.join(record, sa.true())
        )
        records = [json.loads(each, parse_float=Decimal) for each in (await connection.execute(text)).scalars()]
    return summed(row), Digest.of(records)


@pytest.fixture(scope="module")
def dsn(servers: EmbeddedPair) -> object:
    with fresh_database(servers) as made:
        yield made


@pytest.mark.parametrize(("kind", "other"), [(kind, False) for kind in VALUES] + [(kind, True) for kind in OTHERS])
async def test_each_value_has_its_canonical_digest_or_is_told_to_be_another(
    dsn: str, kind: str, *, other: bool
) -> None:
    database = Database(dsn)
    for value in (OTHERS if other else VALUES)[kind]:
        await database.run(
            "drop table if exists one",
            f'create table one (value {kind}, "a ""\\b" integer, "Z" text)',
            f"insert into one values ({value}, 1, 'z')",
        )
        found, right = await both(dsn, "one")
        assert found == (None if other else right), value


async def test_many_rows_have_the_sum_of_their_digests(dsn: str) -> None:
    await Database(dsn).run(
        "create table many as select g as id, g * 1.25 as price, 'note ' || g as note,"
        " timestamptz '2026-11-25 00:00:00Z' + g * interval '1 ms' as at from generate_series(1, 5000) g"
    )
    found, right = await both(dsn, "many")
    assert found == right
    assert right.count == 5000


@pytest.mark.parametrize("columns", [49, 50, 120, 1500])
async def test_rows_may_have_very_many_columns(dsn: str, columns: int) -> None:
    names = [f"c{number}" for number in range(columns)]
    await Database(dsn).run(
        "drop table if exists wide",
        f"create table wide ({', '.join(f'{name} integer' for name in names)})",
        f"insert into wide values ({', '.join(map(str, range(columns)))}), ({', '.join(['null'] * columns)})",
    )
    found, right = await both(dsn, "wide")
    assert found == right


async def test_no_rows_have_the_digest_of_nothing(dsn: str) -> None:
    await Database(dsn).run("create table none (id integer)")
    assert (await both(dsn, "none"))[0] == Digest()


def test_documents_are_not_written_by_the_database() -> None:
    made = sa.table("any", sa.column("document"))
    assert summing({"document": (made.c.document, "jsonb")}, made) is None
