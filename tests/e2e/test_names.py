"""Names that nobody should give to tables and columns, all the way: sync, verify, doctor, init, status, metrics."""

import json
import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from snk.core.names import quoted, written
from tests.kit.daemons import CREATED, DaemonProcess, run_snk
from tests.kit.databases import DEADLINE_SECONDS, Database, insert, until, until_equal

HOSTILE = [
    "x\"; drop table records; -- '",
    "Ünï cödé 表",
    "ä" * 31 + "x",  # 63 bytes, the most there is
    "a.b, c",
    "100% :sure %s %(x)s :1 $1 {0}",
    "[bold]\\n\\",
    "order",
]
SCHEMA = "Sc.he,ma\"'"
COLUMNS = ['id"', "%s", ":c", "c0", "$1", "select", "Da.ta", "rows", "ü" * 31]


def made(table: str) -> str:
    columns = "".join(f", {quoted(name)} text" for name in COLUMNS)
    return (
        f"create table {table} (id bigserial primary key, uuid uuid not null unique, data text,"
        f' "n%:""" numeric(5, 2) default 1.5, "when it was" interval default \'1 month\'{columns})'
    )


@pytest.mark.long
async def test_hostile_names_work_all_the_way(pair: Any) -> None:
    first, second = Database(pair.first), Database(pair.second)
    tables = {written((SCHEMA, name)): f"{quoted(SCHEMA)}.{quoted(name)}" for name in HOSTILE}
    for side in (first, second):
        await side.run(f"create schema {quoted(SCHEMA)}", *map(made, tables.values()))
    values = {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis}
    values["SNK_TABLES"] = ", ".join([*tables, "records"])
    with DaemonProcess(pair, SNK_TABLES=values["SNK_TABLES"]) as daemon:
        await daemon.until_flowing()
        for table in tables.values():
            await insert(first, 5, table)
            await insert(second, 5, table)
            await first.run(f"update {table} set {quoted(COLUMNS[0])} = 'v' where false")
        odd = tables[written((SCHEMA, HOSTILE[0]))]
        async with first.connect() as one, second.connect() as other:
            for line, value in ((one, "one"), (other, "other")):
                await line.exec_driver_sql(f"insert into {odd} (uuid, data) values ('{'0' * 31}7', '{value}')")
            for line in (one, other):  # only now: the row of one must not be there before that of the other
                await line.commit()
        for table in tables.values():
            if table != odd:
                await until_equal(first, second, 10, table)

        async def recorded() -> bool:
            counts = [await side.value("select count(*) from snk.conflicts") for side in (first, second)]
            return sum(counts) > 0

        await until(recorded, "the conflict")
        with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=DEADLINE_SECONDS) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        with urllib.request.urlopen(f"{daemon.url}/status", timeout=DEADLINE_SECONDS) as answer:
            told = json.load(answer)
        shown = daemon.snk("status", "--all")
    named = {sample.labels["table"] for family in families for sample in family.samples if "table" in sample.labels}
    assert named == {*tables, "records"} == {flow["table"] for flow in told["flows"]}
    assert "Traceback" not in shown.stderr
    assert all(f"{name} first→second" in shown.stdout for name in tables if len(name) < 60)
    verified = json.loads(run_snk(values, "verify", "--json", "--settle", "0.5").stdout)
    assert [(table["table"], table["equal"]) for table in verified["tables"] if not table["equal"]] == [
        (written((SCHEMA, HOSTILE[0])), False)
    ], "the conflict, and nothing else"
    looked = run_snk(values, "doctor")
    assert looked.returncode == 0, looked.stdout
    assert await first.value("select count(*) from records") == 0, "it was not dropped"


@pytest.mark.long
async def test_two_names_of_one_table_are_refused(pair: Any) -> None:
    values = {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis}
    run_snk(values, "init")
    twice = {**values, "SNK_TABLES": "records,public.records", "SNK_HTTP_PORT": "0"}
    for command in ("run", "doctor"):
        refused = run_snk(twice, command)
        assert refused.returncode != 0
        assert "records and public.records are one table, public.records" in refused.stdout + refused.stderr


async def test_a_schema_that_is_called_like_a_table_is_no_table(pair: Any) -> None:
    await Database(pair.first).run("create schema records", "create table snk (id int)")
    values = {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis}
    made_now = run_snk(values, "init")
    assert made_now.stdout.count(CREATED) == 2
