"""The commands as a user runs them: what they print, and how they end."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from snk.cli.app import GROUPS
from snk.embedded.process import free_port
from tests.kit.daemons import CREATED, DaemonProcess, run_snk
from tests.kit.databases import DEADLINE_SECONDS, Database, insert, until, until_equal


def settings(pair: Any, **values: str) -> dict[str, str]:
    return {"FIRST_DB_URL": pair.first, "SECOND_DB_URL": pair.second, "REDIS_URL": pair.redis, **values}


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.long
@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("how", "heritage"),
    [
        (signal.SIGTERM, ""),
        (signal.SIGINT, ""),
        (signal.SIGTERM, "ignored signals"),
        (signal.SIGINT, "ignored signals"),
        (signal.SIGTERM, "blocked signals"),
    ],
)
async def test_run_ends_with_exit_code_0_when_told_to(pair: Any, how: int, heritage: str) -> None:
    with DaemonProcess(pair, heritage=heritage) as daemon:
        await daemon.until_flowing()
        await insert(Database(pair.first), 5000)
        assert daemon.stop(how) == 0
        assert "daemon_stopped" in daemon.log
        assert "Traceback" not in daemon.log


@pytest.mark.long
async def test_under_nohup_the_end_of_the_terminal_does_not_stop_it(pair: Any) -> None:
    first, second = Database(pair.first), Database(pair.second)
    with DaemonProcess(pair, heritage="ignored signals") as daemon:
        await daemon.until_flowing()
        for rows in (1, 2, 3):
            daemon.send(signal.SIGHUP)
            await insert(first)
            await until_equal(first, second, rows)
        assert daemon.running
        assert daemon.stop() == 0


def test_ctrl_c_ends_a_comparison_without_a_verdict(pair: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE_SECONDS)
        values = settings(pair, FIRST_DB_URL=f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/x")
        with subprocess.Popen(
            [sys.executable, "-m", "snk", "verify"],
            env={**os.environ, **values},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as verify:
            connection, _ = silent.accept()
            verify.send_signal(signal.SIGINT)
            told = verify.communicate(timeout=DEADLINE_SECONDS)
            connection.close()
    assert (verify.returncode, *told) == (130, "", "")


@pytest.mark.long
def test_init_makes_what_is_missing_once(pair: Any) -> None:
    made = run_snk(settings(pair), "init")
    assert made.stdout.count(CREATED) == 2
    again = run_snk(settings(pair), "init")
    assert again.stdout.count("nothing was missing") == 2
    assert made.returncode == again.returncode == 0


@pytest.mark.long
async def test_init_prints_what_a_dba_can_run(pair: Any) -> None:
    printed = run_snk(settings(pair), "init", "--print")
    assert printed.returncode == 0
    assert await Database(pair.first).value("select to_regnamespace('snk') is null")
    for statement in printed.stdout.split(";\n\n"):
        if statement.strip():
            await Database(pair.first).run(statement)
    question = "select snk.wait_for_commits('', 0, 0) = pg_current_snapshot()::text"
    assert await Database(pair.first).value(question) is True
    assert "nothing was missing" in run_snk(settings(pair), "init").stdout.splitlines()[0]


@pytest.mark.long
async def test_status_health_and_metrics_tell_one_story(pair: Any) -> None:
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        first, second = Database(pair.first), Database(pair.second)
        await insert(first, 100)
        await until_equal(first, second, 100)
        assert get(f"{daemon.url}/health") == (200, '{"status":"ok"}')
        shown = daemon.snk("status")
        assert shown.returncode == 0, shown.stderr
        assert "records first→second" in shown.stdout
        told = json.loads(daemon.snk("status", "--json").stdout)
        assert told["healthy"]
        assert [flow["delivered"] for flow in told["flows"]] == [100, 0]
        code, text = get(f"{daemon.url}/metrics")
        samples = {
            (s.name, s.labels.get("source")): s.value for f in text_string_to_metric_families(text) for s in f.samples
        }
        assert code == 200
        assert samples["snk_rows_delivered_total", "first"] == 100
        assert samples["snk_healthy", None] == 1
        assert "process_resident_memory_bytes" in text
        for secret in (daemon.log, text, shown.stdout, json.dumps(told)):
            assert "postgres:postgres" not in secret


async def test_metrics_of_all_tables_together_and_the_status_of_one(pair: Any) -> None:
    first, second = Database(pair.first), Database(pair.second)
    for side in (first, second):
        await side.run("create table others (id bigserial primary key, uuid uuid not null unique, data text)")
    with DaemonProcess(pair, SNK_TABLES="records,others", SNK_METRICS_TABLES="false") as daemon:
        await daemon.until_flowing()
        await insert(first, 30)
        await insert(first, 12, "others")

        def samples() -> list[Sample]:
            families = text_string_to_metric_families(get(f"{daemon.url}/metrics")[1])
            return [sample for family in families for sample in family.samples]

        async def counted() -> bool:
            found = {s.labels["source"]: s.value for s in samples() if s.name == "snk_rows_delivered_total"}
            return found == {"first": 42, "second": 0}

        await until(counted, "the rows of both tables")
        assert not [sample for sample in samples() if "table" in sample.labels]
        one = json.loads(daemon.snk("status", "--json", "--table", "others").stdout)
        unknown = daemon.snk("status", "--table", "other")
    assert [(flow["table"], flow["delivered"]) for flow in one["flows"]] == [("others", 12), ("others", 0)]
    assert unknown.returncode == 2
    assert "The daemon has no table other. The nearest one is others" in unknown.stderr


@pytest.mark.long
async def test_status_names_who_holds_rows_back(pair: Any) -> None:
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        first, second = Database(pair.first), Database(pair.second)
        async with first.connect() as slow:
            await slow.exec_driver_sql("set application_name = 'slow_import'")
            await slow.exec_driver_sql("insert into records (uuid, data) values (gen_random_uuid(), 'late')")
            await insert(first, 5)

            async def named() -> bool:
                return "slow_import" in daemon.snk("status").stdout

            await until(named, "whoever holds the hole open")
            assert await second.value("select count(*) from records") == 5, "nobody else waited"
            await slow.commit()
        await until_equal(first, second, 6)


@pytest.mark.long
async def test_health_gives_the_reason_while_a_server_is_away(own_pair: Any, own_servers: Any) -> None:
    with DaemonProcess(own_pair) as daemon:
        await daemon.until_flowing()
        own_servers.second.stop("immediate")

        async def away() -> bool:
            code, text = get(f"{daemon.url}/health")
            return code == 503 and "waiting: second" in text

        await until(away, "the reason")
        assert daemon.snk("status").returncode == 1
        own_servers.second.start()

        async def back() -> bool:
            return get(f"{daemon.url}/health")[0] == 200

        try:
            await until(back, "health", 10)
        finally:
            print(get(f"{daemon.url}/status"), daemon.log)
        assert daemon.running


def test_status_without_a_daemon_is_trouble() -> None:
    asked = run_snk({"SNK_HTTP_PORT": str(free_port())}, "status")
    assert asked.returncode == 2
    assert "No daemon answers at http://127.0.0.1:" in asked.stderr
    assert "snk run" in asked.stderr


@pytest.mark.long
async def test_a_taken_port_is_named(pair: Any) -> None:
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        second = daemon.snk("run")
        assert second.returncode == 2
        assert "Cannot listen on 127.0.0.1" in second.stderr
        assert "SNK_HTTP_PORT" in second.stderr


def test_an_unknown_setting_changes_nothing(pair: Any) -> None:
    refused = run_snk(settings(pair, SNK_TABLE="records"), "init")
    assert refused.returncode == 2
    assert "There is no setting SNK_TABLE. The nearest one is SNK_TABLES" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_run_refuses_a_table_that_cannot_be_synced(pair: Any) -> None:
    refused = run_snk(settings(pair, SNK_TABLES="nothing", SNK_HTTP_PORT="0"), "run")
    assert refused.returncode == 2
    assert "there is no table nothing" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.long
async def test_doctor_finds_nothing_wrong_with_a_pair_that_was_made_ready(pair: Any) -> None:
    run_snk(settings(pair), "init")
    looked = run_snk(settings(pair), "doctor")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert {line.split()[0] for line in looked.stdout.splitlines()} == {"ok"}


async def test_doctor_names_what_is_wrong_and_what_to_do(pair: Any) -> None:
    table = "create table t (id bigserial primary key, uuid uuid not null unique, data text{})"
    await Database(pair.first).run(table.format(" not null"), "alter sequence t_id_seq cache 20")
    await Database(pair.second).run(table.format(", more int"))
    looked = run_snk(settings(pair, SNK_TABLES="t,gone", REDIS_URL="redis://127.0.0.1:1/0"), "doctor", "--json")
    found = json.loads(looked.stdout)["findings"]
    said = {(finding["level"], finding["message"].partition(":")[0]) for finding in found}
    text = json.dumps(found)
    assert looked.returncode == 1
    assert "Run `snk init`" in text
    assert "has CACHE 20" in text
    assert "column more is in second but not in first" in text
    assert "there is no table gone" in text
    assert ("warning", "it does not answer") in said
    assert "postgres:postgres" not in text


def test_doctor_goes_on_when_one_server_is_away(pair: Any) -> None:
    away = {"FIRST_DB_URL": "postgresql://postgres:hush-hush@127.0.0.1:1/postgres"}
    looked = run_snk({**settings(pair), **away}, "doctor")
    assert looked.returncode == 1
    assert "PostgreSQL 18" in looked.stdout
    assert "hush-hush" not in looked.stdout + looked.stderr


def test_version_and_help_are_there() -> None:
    assert run_snk({}, "--version").stdout.startswith("snk 0.")
    shown = run_snk({}, "--help").stdout
    for command in ("up", "run", "init", "verify", "status", "doctor"):
        assert command in shown
    introduction = " ".join(shown.partition("Options")[0].split())
    for system in sorted(set(GROUPS) - {"conflicts"}):
        assert f"`snk {system}`" in introduction


def test_the_program_is_typed(request: pytest.FixtureRequest) -> None:
    assert (Path(request.config.rootpath) / "snk" / "py.typed").exists()


@pytest.mark.long
async def test_rejected_lists_refused_rows_and_retry_has_them_tried(pair: Any) -> None:
    first, second = Database(pair.first), Database(pair.second)
    with DaemonProcess(pair) as daemon:
        await daemon.until_flowing()
        clean = daemon.snk("rejected")
        assert clean.returncode == 0
        assert clean.stdout.count("has set aside 0 rows") == 2
        await second.run("alter table records add constraint good check (data <> 'bad')")
        await first.run("insert into records (uuid, data) values ('00000000-0000-4000-8000-000000000001', 'bad')")

        async def set_aside() -> bool:
            return bool(await second.value("select count(*) from snk.rejected"))

        await until(set_aside, "the row to be set aside")
        await second.run("update snk.rejected set next_at = now() + interval '1 hour'")
        told = daemon.snk("rejected")
        assert told.returncode == 1
        assert "public.records 00000000-0000-4000-8000-000000000001  23514 new row" in told.stdout
        counts = {side: found["count"] for side, found in json.loads(daemon.snk("rejected", "--json").stdout).items()}
        assert counts == {"first": 0, "second": 1}
        assert "`snk rejected` lists them" in daemon.snk("status").stdout
        await second.run("alter table records drop constraint good")
        assert daemon.snk("retry", "nonsense").returncode == 2
        unknown = daemon.snk("retry", "00000000-0000-4000-8000-000000000000")
        assert (unknown.returncode, "none of these rows has been refused" in unknown.stderr) == (2, True)
        assert "second: 1 row is tried again" in daemon.snk("retry").stdout
        await until_equal(first, second, 1)


@pytest.mark.long
async def test_init_brings_a_schema_of_an_earlier_version_up_to_date(pair: Any) -> None:
    first, second = Database(pair.first), Database(pair.second)
    assert run_snk(settings(pair), "init").returncode == 0
    for side in (first, second):
        await side.run("alter table snk.marks drop column epoch", "drop table snk.leases")
    assert "snk.leases, snk.marks.epoch missing" in run_snk(settings(pair), "doctor").stdout
    assert run_snk(settings(pair), "init").stdout.count("created snk.leases, snk.marks.epoch") == 2
    with DaemonProcess(pair):
        await insert(first, 1)
        await until_equal(first, second, 1)


@pytest.mark.long
async def test_doctor_names_foreign_keys_onto_ids(pair: Any) -> None:
    assert run_snk(settings(pair), "init").returncode == 0
    for url in (pair.first, pair.second):
        await Database(url).run(
            "create table lines (id bigserial primary key, uuid uuid not null unique,"
            " record bigint references records (id), better uuid references records (uuid))"
        )
    told = run_snk(settings(pair, SNK_TABLES="records,lines"), "doctor")
    assert "foreign key lines_record_fkey refers to ids of records" in told.stdout
    assert "lines_better_fkey" not in told.stdout


@pytest.mark.long
async def test_doctor_tells_a_role_without_any_right_what_it_lacks(pair: Any) -> None:
    assert run_snk(settings(pair), "init").returncode == 0
    for url in (pair.first, pair.second):
        await Database(url).run("create role bare login password 'bare'")
    try:
        values = {
            name: getattr(pair, side).replace("postgres:postgres@", "bare:bare@")
            for name, side in (("FIRST_DB_URL", "first"), ("SECOND_DB_URL", "second"))
        }
        told = run_snk({**settings(pair), **values}, "doctor")
        assert told.returncode == 1
        assert told.stdout.count("USAGE on schema snk") == 2
        assert told.stdout.count("lacks the right to SELECT") == 2
    finally:
        for url in (pair.first, pair.second):
            await Database(url).run("drop role bare")
