"""Tables with as many columns as PostgreSQL allows flow, and are compared; nobody else waits for their statements."""

import threading
from itertools import cycle, islice
from typing import Any

import pytest
from sqlalchemy.dialects.postgresql.base import PGCompiler

from snk.db.access import Dedicated
from snk.db.server import Server
from snk.pair.core.portion import Portion
from snk.pair.table.reader import Reader
from snk.pair.table.statement import FEW_COLUMNS, mapped
from snk.pair.table.synced import MOST_VALUES
from snk.pair.verify.compare import compare
from tests.kit.databases import Database, until_equal
from tests.kit.links import shape_on
from tests.pair.conftest import OFTEN, Running, until_healthy
from tests.pair.sync.test_sweeper import until_proven

MOST_COLUMNS = 1600
LONG = 10_000
TYPES = ("numeric", "jsonb", "integer", "text", "bytea", "bigint", "boolean")
# How many columns, and of which types in turn.
WIDE = {
    "320 of several types": (320, TYPES),
    "1600 of several types": (MOST_COLUMNS, TYPES),
    "850 texts": (850, ("text",)),
    "1600 texts": (MOST_COLUMNS, ("text",)),
}
VALUES = {
    "text": "'a' || n % 10",
    "jsonb": "to_jsonb(n % 10)",
    "bytea": "'\\x01'::bytea",
    "boolean": "n % 2 = 0",
}


def columns(kind: str) -> list[tuple[str, str]]:
    """The names and the types of all columns but the first two."""
    count, types = WIDE[kind]
    return [(f"column{at}", name) for at, name in enumerate(islice(cycle(types), count - 2))]


async def make(kind: str, *sides: Database) -> None:
    listed = ", ".join(f"{name} {type_}" for name, type_ in columns(kind))
    for side in sides:
        await side.run(f"create table wide (id bigserial primary key, uuid uuid not null unique, {listed})")


def rows(kind: str, mark: str, count: int) -> str:
    """Rows of which every fourth column has a value: a row has to fit into a page."""
    filled = columns(kind)[::4]
    names = ", ".join(name for name, _ in filled)
    values = ", ".join(VALUES.get(type_, "n % 10") for _, type_ in filled)
    return (
        f"insert into wide (uuid, {names}) select md5('{mark}' || n)::uuid, {values} from generate_series(1, {count}) n"
    )


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every statement that SQLAlchemy compiles, and in which thread."""
    found: list[tuple[str, str]] = []
    plain = PGCompiler.__init__

    def init(compiler: PGCompiler, *arguments: Any, **more: Any) -> None:
        plain(compiler, *arguments, **more)
        found.append((threading.current_thread().name, str(compiler)))

    monkeypatch.setattr(PGCompiler, "__init__", init)
    return found


@pytest.mark.sampled(1)
@pytest.mark.long
@pytest.mark.parametrize("kind", WIDE)
async def test_a_wide_table_flows_and_is_proven_equal(
    running: Running, first: Database, second: Database, kind: str, compiled: list[tuple[str, str]]
) -> None:
    """Its statements are compiled in a thread, so leases and other tables do not wait for them."""
    await make(kind, first, second)
    for side in (first, second):
        await side.run(rows(kind, "both", 2))
    async with running("wide", sweeps=OFTEN) as daemon:
        await first.run(rows(kind, "first", 3), rows(kind, "more", 300))
        await second.run(rows(kind, "second", 3))
        await until_equal(first, second, 308, "wide")
        await until_proven(daemon)
        assert [sweep.found for sweep in daemon.status().sweeps] == [0]
        await until_healthy(daemon)
    servers = Server("first", first.dsn), Server("second", second.dsn)
    assert (await compare(*servers, "wide", settle_seconds=0)).equal
    await second.run("delete from wide where id = 1", "update wide set column0 = null where id = 2")
    found = await compare(*servers, "wide", settle_seconds=0)
    assert (len(found.only_in_first), len(found.different)) == (1, 1)
    long = [thread for thread, statement in compiled if len(statement) > LONG]
    assert len(long) > 10
    assert {thread.partition("_")[0] for thread in long} == {"statements"}


ODD = ["price$1", "it's $2", '"$3" $4', "%(five)s", ":six", "$7", "é$8", "a\\'$9", "tenth%"]


@pytest.mark.long
async def test_names_that_look_like_parameters_are_none(running: Running, first: Database, second: Database) -> None:
    names = ['"{}"'.format(name.replace('"', '""')) for name in [*ODD, *(f"plain{at}" for at in range(FEW_COLUMNS))]]
    for side in (first, second):
        await side.run(
            "create table odd (id bigserial primary key, uuid uuid not null unique, "
            + ", ".join(f"{name} text" for name in names)
            + ")"
        )
    values = ", ".join(f"'{at}' || n" for at in range(len(names)))
    rows_of = "insert into odd (uuid, {}) select md5('{{}}' || n)::uuid, {} from generate_series(1, {{}}) n"
    fill = rows_of.format(", ".join(names), values)
    async with running("odd", sweeps=OFTEN) as daemon:
        await first.run(fill.format("few", 3), fill.format("many", 300))
        await second.run(fill.format("few", 3), fill.format("others", 3))
        await until_equal(first, second, 306, "odd")
        await until_proven(daemon)
        assert [await side.value("select count(*) from snk.conflicts") for side in (first, second)] == [0, 0]


@pytest.mark.long
async def test_rows_of_many_narrow_columns_come_a_few_at_a_time(first: Database) -> None:
    """Their bytes are few, but each value is an object."""
    await first.run(
        "create table wide (id bigserial primary key, uuid uuid not null unique, "
        + ", ".join(f"column{at} smallint" for at in range(MOST_COLUMNS - 2))
        + ")",
        "insert into wide (uuid, column7) select gen_random_uuid(), n from generate_series(1, 1500) n",
    )
    server = Server("first", first.dsn)
    shape = await shape_on(server, "wide")
    async with server.connect() as connection:
        reader = Reader(Dedicated(server, connection), await mapped(shape))
        high, portion, brought = 0, Portion.of(10_000, 8 * 2**20), list[int]()
        while (found := await reader.above(high, portion)).rows:
            brought.append(len(found.rows))
            assert found.full == (sum(brought) < 1500)
            high, portion = found.rows.ids[-1], found.portion
    assert sum(brought) == 1500
    assert max(brought) <= MOST_VALUES // (MOST_COLUMNS - 1)
