"""The commands, and what they say about settings and databases that do not fit."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from snk.embedded.process import free_port
from snk.errors import SettingsError
from snk.serve.commands import COMMANDS
from snk.serve.commands.group import group
from snk.serve.settings import load_settings
from tests.kit.databases import Database
from tests.kit.serve import DATASET, ServeProcess, prepared

LEAST = """
[serve]
database = "postgresql://u:hidden-password@h/d"
[serve.datasets.records]
table = "public.records"
key = "uid"
"""


def process(dsn: str, datasets: Any = None, **settings: Any) -> ServeProcess:
    """A service that is not started."""
    return ServeProcess(dsn, datasets, **settings)


@pytest.mark.long
async def test_init_can_be_repeated(dsn: str) -> None:
    database = await prepared(dsn)
    service = process(dsn)
    first, second = service.snk("init"), service.snk("init")
    assert (first.returncode, second.returncode) == (0, 0)
    assert "created snk.serve_keys" in first.stdout
    assert "nothing was missing" in second.stdout
    assert await database.value("select count(*) from snk.serve_keys") == 0
    service.forget()


@pytest.mark.long
async def test_what_init_prints_does_what_it_does(dsn: str) -> None:
    database = await prepared(dsn)
    service = process(dsn)
    printed = service.snk("init", "--print").stdout
    await database.run(*(statement for statement in printed.split(";") if statement.strip()))
    assert "nothing was missing" in service.snk("init").stdout
    assert await database.value("select count(*) from pg_indexes where tablename = 'serve_keys'") == 2
    service.forget()


async def test_it_does_not_start_without_the_table_of_keys(dsn: str) -> None:
    await prepared(dsn)
    service = process(dsn)
    done = service.snk()
    assert (done.returncode, "snk serve init" in done.stderr) == (2, True)
    service.forget()


async def test_it_starts_without_the_table_of_keys_if_nothing_may_be_written(dsn: str) -> None:
    await prepared(dsn)
    service = process(dsn, {"records": {**DATASET, "write": []}})
    service.start()
    await service.until_answering()
    assert service.stop() == 0
    service.forget()


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"table": "other"}, "no table other"),
        ({"key": "nothing"}, "no column 'nothing'"),
        ({"read": ["uid", "hidden"]}, "no column 'hidden'"),
        ({"write": ["hidden"]}, "no column 'hidden'"),
        ({"time": "value"}, "which is integer"),
        ({"table": "local", "time_zone": "Mars/Olympus"}, "Mars/Olympus"),
    ],
)
async def test_a_dataset_that_does_not_fit_is_told(dsn: str, change: dict[str, Any], words: str) -> None:
    await prepared(
        dsn,
        "create table records (uid text primary key, created_at timestamptz not null, value integer)",
        "create table local (uid text primary key, created_at timestamp not null, value integer)",
    )
    service = process(dsn, {"records": {**DATASET, **change}})
    assert service.snk("init").returncode == 0
    done, doctor = service.snk(), service.snk("doctor", "--json")
    assert done.returncode == 2
    assert words in done.stderr
    assert doctor.returncode == 1
    assert words in doctor.stdout.replace('\\"', '"')
    service.forget()


async def test_the_doctor_is_content_with_a_service_that_works(dsn: str) -> None:
    await prepared(dsn)
    service = process(dsn, auth={"tokens": [{"name": "one", "token": "one-0123456789-0123", "scopes": ["*"]}]})
    service.snk("init")
    done = service.snk("doctor", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0, told
    assert {finding["level"] for finding in told["findings"]} == {"ok"}
    service.forget()


async def test_the_doctor_names_what_is_wrong(dsn: str) -> None:
    await prepared(
        dsn,
        "create table loose (id int, at timestamptz, made int generated always as (1) stored, must int not null)",
        "create view seen as select 1 as id",
        "create role reader login password 'reader'",
        "grant usage on schema public to reader",
        "grant select on loose to reader",
    )
    datasets = {
        "loose": {"table": "loose", "key": "id", "time": "at", "write": ["id", "made"]},
        "seen": {"table": "seen", "key": "id"},
    }
    service = process(dsn, datasets)
    done = service.snk("doctor")
    assert done.returncode == 1
    for words in (
        "id has no unique index",
        "at has no index",
        "at may be null",
        "made is generated",
        "must has no default",
        "seen is a view",
        "there is no table snk.serve_keys",
        "everybody on this machine may do all",
    ):
        assert words in done.stdout
    service.forget()
    as_reader = process(dsn.replace("postgres:postgres@", "reader:reader@"), datasets)
    told = as_reader.snk("doctor").stdout
    assert "lacks the right INSERT on loose.id" in told
    assert "lacks the right SELECT on seen.id" in told
    as_reader.forget()
    await Database(dsn).run("drop owned by reader", "drop role reader")


def test_the_doctor_names_a_database_that_is_away_once() -> None:
    port = free_port()
    service = process(f"postgresql://nobody@127.0.0.1:{port}/none")
    done = service.snk("doctor")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if str(port) in line]
    assert line.count(str(port)) == 1, line
    service.forget()


async def test_status_and_metrics_count_what_was_done(client: aiohttp.ClientSession, records: Database) -> None:
    await records.run("insert into records select i::text, now(), i from generate_series(1, 7) i")
    async with client.get("/status") as answer:
        before = (await answer.json())["datasets"]["records"]["records_read"]
    async with client.get("/v1/records") as answer:
        assert answer.status == 200
    async with client.get("/status") as answer:
        told = await answer.json()
    assert told["datasets"]["records"]["records_read"] == before + 7
    assert told["under_way"] == 1
    async with client.get("/metrics") as answer:
        text = await answer.text()
    assert 'snk_serve_answers_total{request="GET /v1/records",status="200"}' in text
    assert "snk_serve_connections_in_use 0.0" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[serve]", "[serve]\nconnection = 3"), "there is no setting serve.connection; the nearest one is"),
        (("[serve]", "[serve]\nconnections = 0"), "serve.connections is 0"),
        (("[serve]", "[serve]\npage_rows = 20000"), "serve.page_rows is 20000"),
        (("[serve.datasets.records]", "[serve.datasets.Records]"), "Records"),
        (('table = "public.records"', 'table = "a.b.c"'), "serve.datasets.records.table is 'a.b.c'"),
        (('key = "uid"', 'key = ""'), "serve.datasets.records.key is empty"),
        (('key = "uid"', 'key = "uid"\nread = ["a", "a"]'), "has 'a' twice"),
        (('key = "uid"', 'key = "uid"\nread = ["$end"]'), "$end"),
        (('key = "uid"', ""), "serve.datasets.records.key is missing"),
        (("postgresql://", "mysql://"), "serve.database has the scheme 'mysql'"),
    ],
)
def test_a_wrong_setting_is_told_with_its_name_and_value(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = tmp_path / "snk.toml"
    path.write_text(LEAST.replace(*change))
    with pytest.raises(SettingsError) as error:
        load_settings(path)
    assert words in str(error.value)
    assert "hidden-password" not in str(error.value)


def test_settings_have_defaults(tmp_path: Path) -> None:
    path = tmp_path / "snk.toml"
    path.write_text(LEAST)
    settings = load_settings(path)
    assert (settings.host, settings.port, settings.auth.closed) == ("127.0.0.1", 8092, False)
    assert settings.datasets["records"].readable == ("uid",)


def test_it_listens_beyond_this_machine_only_if_clients_must_say_who_they_are(dsn: str) -> None:
    service = process(dsn, host="0.0.0.0")
    done = service.snk()
    assert done.returncode == 2
    assert "serve.host is '0.0.0.0', which other machines can reach" in done.stderr
    service.forget()


def test_the_help_names_every_command() -> None:
    told = CliRunner().invoke(group(["--help"]), ["--help"]).stdout
    assert all(f" {name} " in told for name in COMMANDS)
