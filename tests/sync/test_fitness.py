"""What cannot be synced is refused at the start, each with a clear word of what would be right."""

import asyncio
from typing import Any

import pytest

from snk.db.engine import Server
from snk.errors import PairUnfit, TableUnfit, Unavailable
from snk.sync.daemon import Daemon
from snk.sync.flow import Limits
from snk.sync.link import check_pair
from snk.sync.pair import Pair
from snk.sync.prepare import prepare
from tests.databases import Database, insert, until_equal

GOOD = "create table t (id bigserial primary key, uuid uuid not null unique, data text)"


async def faults(pair: Any, table: str = "t") -> str:
    """All faults of a pair, one a line."""
    found = await check_pair(Server("first", pair.first), Server("second", pair.second), (table,))
    return "\n".join(str(fault) for fault in found)


@pytest.mark.parametrize(
    ("on_first", "on_second", "words"),
    [
        (GOOD, None, "second: there is no table t"),
        (GOOD, GOOD.replace(", data text", ""), "column data is in first but not in second. Add it in second"),
        (GOOD, GOOD.replace("data text", "data varchar(9)"), "data is text in first and character varying"),
        (
            GOOD.replace(" unique", ""),
            GOOD,
            "first: .*t has no column that can be its uuid. It is to have a uuid column that is NOT NULL",
        ),
        (GOOD.replace(" not null", ""), GOOD, "first: .*t has no column that can be its uuid"),
        (
            GOOD.replace("bigserial", "bigint"),
            GOOD,
            "first: .*t has no column that can be its id. .*identity or serial",
        ),
        (GOOD.replace("bigserial", "uuid"), GOOD, "first: .*has no column that can be its id"),
        (
            GOOD.replace("data text", "data text, other uuid not null unique").replace(" uuid uuid", " one uuid"),
            GOOD,
            "several columns that could be its uuid: one, other",
        ),
        (GOOD + "; create table child () inherits (t)", GOOD, "has child tables"),
        ("create view t as select 1 as id", GOOD, "is not a table"),
        (GOOD + "; alter sequence t_id_seq increment -1", GOOD, "counts down"),
        (
            GOOD.replace("uuid not null unique", "uuid not null, unique (uuid) deferrable"),
            GOOD,
            "has no column that can be its uuid",
        ),
        (GOOD.replace("data text", "data text generated always as ('x') stored"), GOOD, "column data is in second"),
    ],
)
async def test_a_table_that_cannot_be_synced_is_refused(
    pair: Any, on_first: str, on_second: str | None, words: str
) -> None:
    await Database(pair.first).run(*on_first.split("; "))
    if on_second:
        await Database(pair.second).run(on_second)
    found = await faults(pair)
    with pytest.raises(TableUnfit, match=f"(?s){words}"):
        raise TableUnfit(found)


async def test_a_fit_table_has_no_faults(pair: Any) -> None:
    for side in (pair.first, pair.second):
        await Database(side).run(GOOD)
    assert await faults(pair) == ""


async def test_one_database_given_twice_is_noticed(pair: Any) -> None:
    await Database(pair.first).run(GOOD)
    one, other = Server("first", pair.first), Server("second", pair.first.replace("127.0.0.1", "localhost"))
    found = await check_pair(one, other, ("t",))
    assert [type(fault) for fault in found] == [PairUnfit]
    assert "one and the same database" in str(found[0])


async def test_a_server_that_is_away_is_no_fault_but_a_reason_to_wait(pair: Any) -> None:
    away = Server("second", "postgresql://postgres:postgres@127.0.0.1:1/postgres")
    with pytest.raises(Unavailable, match=r"second \(127\.0\.0\.1:1/postgres\)"):
        await check_pair(Server("first", pair.first), away, ("t",))


async def test_a_wrong_password_is_named_without_being_shown(pair: Any) -> None:
    wrong = Server("second", pair.second.replace("postgres:postgres@", "postgres:hush-hush@"))
    with pytest.raises(PairUnfit, match="password authentication failed") as caught:
        await check_pair(Server("first", pair.first), wrong, ("t",))
    assert "hush-hush" not in str(caught.value)


@pytest.fixture
async def role(pair: Any, first: Database, second: Database) -> str:
    """A role that may do nothing yet, on both servers, and the name of the databases' part of its URL."""
    name = "r" + pair.first.rpartition("/")[2]
    for side in (first, second):
        await side.run(GOOD, f"create role {name} login password 'pw'")
    return name


def as_role(dsn: str, role: str) -> str:
    return dsn.replace("postgres:postgres@", f"{role}:pw@")


async def test_rights_are_asked_for_by_name(pair: Any, role: str, first: Database, second: Database) -> None:
    servers = [Server(label, as_role(getattr(pair, label), role)) for label in ("first", "second")]
    for side in (first, second):
        await side.run(f"grant select on t to {role}")
    found = "\n".join(str(fault) for fault in await check_pair(*servers, ("t",)))
    assert "lacks the right to INSERT. GRANT INSERT ON public.t" in found
    assert "GRANT USAGE ON SEQUENCE" in found
    await drop(role, first, second)


async def test_select_and_insert_are_all_it_needs(pair: Any, role: str, first: Database, second: Database) -> None:
    for label, side in (("first", first), ("second", second)):
        await prepare(Server(label, getattr(pair, label)), ("t",))
        await side.run(
            f"grant select, insert on t to {role}",
            f"grant usage on sequence t_id_seq to {role}",
            f"grant usage on schema snk to {role}",
            f"grant select, insert, update on all tables in schema snk to {role}",
        )
    servers = [Server(label, as_role(getattr(pair, label), role)) for label in ("first", "second")]
    stop = asyncio.Event()
    daemon = Daemon(Pair(*servers, ("t",)), Limits(), pair.redis)
    await daemon.wait_until_fit(stop)
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(stop))
        await insert(first, 10, "t")
        await insert(second, 10, "t")
        await until_equal(first, second, 20, "t")
        stop.set()
    await drop(role, first, second)


async def drop(role: str, *sides: Database) -> None:
    for side in sides:
        await side.run(f"drop owned by {role}", f"drop role {role}")


async def test_row_level_security_that_hides_rows_is_refused(
    pair: Any, role: str, first: Database, second: Database
) -> None:
    for side in (first, second):
        await side.run(f"grant select, insert on t to {role}", "alter table t enable row level security")
    servers = [Server(label, as_role(getattr(pair, label), role)) for label in ("first", "second")]
    found = "\n".join(str(fault) for fault in await check_pair(*servers, ("t",)))
    assert "hides rows by row-level security" in found
    await drop(role, first, second)
