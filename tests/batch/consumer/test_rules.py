"""Rules compare values by the type that they name, or by that of the column, and limits of the database end a file."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.batch.consumer.conftest import Provider
from tests.kit.consumer import COLUMNS, ConsumerProcess, ask, call, dataset, until_ended
from tests.kit.databases import Database, until
from tests.kit.serve import ServeProcess

Make = Callable[..., ConsumerProcess]
MakeFile = Callable[..., dict[str, Any]]
WIDE = 120


def with_rule(name: str, rule: Any) -> dict[str, Any]:
    return {**{column: {} for column in COLUMNS}, name: rule}


COMPARED: dict[str, tuple[str, str, Any, list[str]]] = {
    # The type of the column, the values of the first records, the rule of the column, and why records are rejected.
    "a number in a text": (
        "text",
        "'2', '100', '-1', '1000001', 'none'",
        {"type": "numeric", "min": 0, "max": 1_000_000},
        ["note is -1, below 0", "note is 1000001, above 1000000", "note is none, which is no numeric"],
    ),
    "a bound that the column cannot hold": (
        "numeric(8, 2)",
        "'999999.99', '0', '-1'",
        {"min": 0, "max": 1_000_000},
        ["note is -1, below 0"],
    ),
    "a value that the column would cut": (
        "varchar(3)",
        "'EUR', 'USD'",
        {"one_of": ["EURO", "USD"]},
        ["note is EUR, none of EURO, USD"],
    ),
    "a value with blanks at its end": ("char(3)", "'EUR', 'X'", {"one_of": ["EUR"]}, ["note is X, none of EUR"]),
    "a type with a modifier": (
        "text",
        "'1.25', '12.5', '1000'",
        {"type": "numeric(4, 2)", "max": 1000},
        ["note is 1000, which is no numeric(4, 2)"],
    ),
    "a time in a text": (
        "text",
        "'2026-11-25 00:00:00+01', '2026-11-25 00:00:00-01'",
        {"type": "timestamptz", "max": "2026-11-25T00:00:00Z"},
        ["note is 2026-11-25 00:00:00-01, above 2026-11-25T00:00:00Z"],
    ),
}


@pytest.mark.parametrize("kind", COMPARED)
async def test_values_are_compared_by_the_type_of_the_rule(
    make: Make, file: MakeFile, provider: Provider, database: Database, kind: str
) -> None:
    column, values, rule, reasons = COMPARED[kind]
    count = values.count("', '") + 1
    await provider.database.run(
        f"delete from t0 where value > {count}", f"update t0 set note = (array[{values}]::text[])[value]"
    )
    await database.run(f"alter table loaded_t0 drop note, add note {column}")
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file(columns=with_rule("note", rule), **{"from": None, "to": None})}))
    found = told["files"]["t0"]
    assert (found["state"], found["rejected"], found["applied"]) == ("COMPLETED", len(reasons), count - len(reasons))
    rows = await database.rows("select reasons[1] from snk_batch_consumer.rejected order by number")
    assert [row[0] for row in rows] == reasons


NO_TYPES = {
    "wrong": "options.columns.note.type is 'wrong', which is no type of values",
    "anyelement": "options.columns.note.type is 'anyelement', which is no type of values",
    "int); drop table t0; --": "options.columns has types that cannot be read, 'int); drop table t0; --'",
    "setof int": "options.columns.note.type is 'setof int', which is no type of values",
}


async def test_what_is_no_type_is_told(make: Make, file: MakeFile) -> None:
    one = await make().started()
    files = {f"f{number}": file(columns=with_rule("note", {"type": kind})) for number, kind in enumerate(NO_TYPES)}
    told = await until_ended(one.url, call(files))
    for number, words in enumerate(NO_TYPES.values()):
        found = told["files"][f"f{number}"]
        assert (found["state"], words in found["reason"]) == ("FAILED", True), found


async def test_a_key_that_is_checked_later_is_refused(make: Make, file: MakeFile, database: Database) -> None:
    await database.run("alter table loaded_t0 drop constraint loaded_t0_pkey, add primary key (uid) deferrable")
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "FAILED"
    assert "has a constraint of the columns of options.key that is DEFERRABLE" in told["reason"]


FAILING = (
    "create function fail() returns trigger language plpgsql as $$begin raise 'no' using errcode = tg_argv[0]; end$$"
)


async def test_limits_of_the_database_are_not_waited_for(
    make: Make, file: MakeFile, provider: Provider, database: Database
) -> None:
    """A value that no index can hold, and errors whose repetition changes nothing."""
    await provider.database.run(
        "update t0 set note = (select string_agg(md5(g::text), '') from generate_series(1, 400) g) where value = 1"
    )
    await database.run("alter table loaded_t0 drop constraint loaded_t0_pkey, add primary key (note)", FAILING)
    for name, code in (("t1", "54000"), ("t2", "55000")):
        trigger = f"create trigger fail before insert on loaded_{name} for each row"
        await database.run(f"{trigger} execute function fail('{code}')")
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file(key="note"), "t1": file("t1"), "t2": file("t2")}))
    reasons = {name: each["reason"] for name, each in told["files"].items() if each["state"] == "FAILED"}
    assert reasons["t0"].startswith("public.loaded_t0: index row ")
    assert reasons["t0"].endswith("; nothing was merged")
    assert reasons["t1"] == "public.loaded_t1: no; nothing was merged"
    assert reasons["t2"] == "public.loaded_t2: no; nothing was merged"


async def test_limits_are_not_waited_for_while_pages_are_stored(make: Make, file: MakeFile, database: Database) -> None:
    await database.run(
        FAILING,
        "create trigger fail before insert on snk_batch_consumer.staged for each row execute function fail('54000')",
    )
    one = await make().started()
    told = await until_ended(one.url, call({"t0": file()}))
    assert told["state"] == "FAILED"
    assert ": no. Ask for smaller pages by options.page_rows" in told["reason"]


@pytest.mark.long
async def test_a_statement_that_is_broken_off_again_and_again_fails_its_file(
    make: Make, file: MakeFile, database: Database
) -> None:
    await database.run(
        "create function hang() returns trigger language plpgsql as $$begin perform pg_sleep(600); return new; end$$",
        "create trigger hang before insert on loaded_t0 for each row execute function hang()",
    )
    one = await make().started()
    body = call({"t0": file()})
    await ask(one.url, body)
    cancelled = 0

    async def cancel() -> bool:
        nonlocal cancelled
        cancelled += await database.value(
            "select count(pg_cancel_backend(pid)) from pg_stat_activity"
            " where datname = current_database() and wait_event = 'PgSleep'"
        )
        return (await ask(one.url, body))[1]["state"] == "FAILED"

    await until(cancel, "the file to fail")
    assert cancelled >= 3
    reason = (await ask(one.url, body))[1]["files"]["t0"]["reason"]
    assert "canceling statement due to user request, 3 times in a row. A pattern takes too long" in reason


@pytest.mark.long
async def test_a_dataset_of_very_many_columns_is_reconciled(
    make: Make, file: MakeFile, provider: Provider, database: Database
) -> None:
    names = [f"c{number}" for number in range(WIDE)]
    columns = "uid text primary key, created_at timestamptz not null, " + ", ".join(f"{name} integer" for name in names)
    values = ", ".join(["g"] * WIDE)
    await database.run(f"create table loaded_wide ({columns})")
    await provider.database.run(
        "drop table if exists wide",
        f"create table wide ({columns})",
        f"insert into wide select g::text, '2026-11-25T12:00Z', {values} from generate_series(1, 20) g",
    )
    read = ["uid", "created_at", *names]
    with ServeProcess(provider.database.dsn, {"wide": {**dataset("wide"), "read": read}}) as serve:
        await serve.until_answering()
        rules = {**{name: {} for name in read}, names[-1]: {"min": 3}}
        one = await make().started()
        files = {
            "all": file("wide", source=f"{serve.url}/v1/wide", columns=read),
            "some": file("wide", source=f"{serve.url}/v1/wide", columns=rules),
        }
        for number, (name, rejected) in enumerate((("all", 0), ("some", 2)), 1):
            told = await until_ended(one.url, call({name: files[name]}, run=number))
            found = told["files"][name]
            assert (found["state"], found["expected"], found["rejected"]) == ("COMPLETED", 20, rejected), found
            assert len(found["digest"]) == 32
    assert await database.value("select count(*) from loaded_wide") == 20
