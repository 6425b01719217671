"""Tables with many columns flow, and are compared; those with too many are refused."""

from typing import Any

import pytest

from snk.db.engine import Server
from snk.db.shape import MOST_COLUMNS
from snk.sync.link import check_pair
from snk.verify.compare import compare
from tests.databases import Database, insert, until_equal
from tests.sync.conftest import Running

# How many columns beside id and uuid.
WIDE = {
    "160 texts": (160, ("text",)),
    "as many texts as may be": (MOST_COLUMNS - 2, ("text",)),
    "as many of several types as may be": (MOST_COLUMNS - 2, ("numeric", "jsonb", "integer", "text")),
}
TABLE = "create table wide (id bigserial primary key, uuid uuid not null unique, {})"


@pytest.mark.parametrize("kind", WIDE)
async def test_wide_tables_flow_beside_others_and_are_compared(
    running: Running, pair: Any, first: Database, second: Database, kind: str
) -> None:
    count, types = WIDE[kind]
    columns = [f"c{at} {types[at % len(types)]}" for at in range(count)]
    for side in (first, second):
        await side.run(TABLE.format(", ".join(columns)))
    row = "insert into wide (uuid, c0, c1, c2, c3) values (gen_random_uuid(), '1', '2', '3', '4')"
    async with running("wide", "records"):
        await first.run(row, row)
        await second.run(row)
        await insert(first, 3)
        await until_equal(first, second, 3, "wide")
        await until_equal(first, second, 3)
    servers = Server("first", pair.first), Server("second", pair.second)
    assert (await compare(*servers, "wide", settle_seconds=0)).equal
    await second.run("update wide set c3 = '5' where id = 1")
    assert len((await compare(*servers, "wide", settle_seconds=0)).different) == 1


async def test_a_table_with_too_many_columns_is_refused_with_the_limit(
    pair: Any, first: Database, second: Database
) -> None:
    for side in (first, second):
        await side.run(TABLE.format(", ".join(f"c{at} int" for at in range(MOST_COLUMNS - 1))))
    servers = Server("first", pair.first), Server("second", pair.second)
    faults = [str(fault) for fault in await check_pair(*servers, ("wide",))]
    words = f"first: table public.wide has {MOST_COLUMNS + 1} columns. SNK syncs tables of up to {MOST_COLUMNS}"
    assert words in faults
