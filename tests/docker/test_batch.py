"""The batch of docker-compose: its files are accepted, and its services, as processes, load a day at a message."""

import asyncio
import re
import signal
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snk.batch import settings as platform
from snk.batch.consumer import settings as consumer
from snk.batch.consumer.options import options_of
from snk.batch.definition import read_definitions
from snk.embedded.process import free_port
from snk.pair.servers import EmbeddedPair
from snk.serve import settings as serve
from tests.docker.compose import BATCH_CONFIG, BATCH_TASKS, PIPELINE_CONFIG, dotenv, services, with_path
from tests.docker.conftest import Check, Launch
from tests.kit.batch import Api
from tests.kit.databases import DEADLINE_SECONDS, Database, until
from tests.kit.serve import ServeProcess, fresh_database, prepared

BATCH = ["batch_platform", "batch_consumer"]
TOKENS = {name: f"{name}-0123456789abcdef0123456789abcdef" for name in ("BATCH_TOKEN", "CONSUMER_TOKEN", "SERVE_TOKEN")}
PROJECT = {**dotenv(), **TOKENS}
URLS = {"batch_platform": "BATCH_DB_URL", "batch_consumer": "CONSUMER_DB_URL"}
READER = [{"name": "consumer", "token": TOKENS["SERVE_TOKEN"], "scopes": ["records:read"]}]
DAY = "2026-11-25"
FILL = (
    f"insert into records select g::text, timestamptz '{DAY} 00:00:00Z' + g * interval '1 s', g"
    " from generate_series(1, 500) g"
)
EXAMPLE = "#   create table events_loaded "


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the settings name, as the services have them."""
    for name, variable in URLS.items():
        monkeypatch.setenv(variable, services(PROJECT)[name]["environment"][variable])
    for name, value in {**TOKENS, "SERVE_DB_URL": "postgresql://second_db/postgres"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("secrets")
def test_settings_are_accepted_and_fit_the_services() -> None:
    node, worker, found = platform.load_settings(BATCH_CONFIG), consumer.load_settings(BATCH_CONFIG), services(PROJECT)
    assert node.address == f"http://batch_platform:{node.port}"
    assert found["batch_platform"]["ports"][0].endswith(f":{node.port}")
    assert node.auth.closed, "other containers reach it"
    assert worker.auth.closed, "other containers reach it"
    assert node.dsn == worker.dsn == "postgresql://postgres:postgres@first_db:5432/postgres"
    for name, port in (("batch_platform", node.port), ("batch_consumer", worker.port)):
        assert f"http://127.0.0.1:{port}/health" in found[name]["healthcheck"]["test"][-1]


@pytest.mark.usefixtures("secrets")
def test_the_example_of_a_task_fits_the_services() -> None:
    task = read_definitions(BATCH_TASKS).task["events"]
    assert task.consumers == (f"http://batch_consumer:{consumer.load_settings(BATCH_CONFIG).port}/v1/tasks/events",)
    (file,) = task.files.values()
    provider = serve.load_settings(PIPELINE_CONFIG)
    assert file.source == f"http://serve_service:{provider.port}/v1/records"
    assert set(options_of(file.options).columns) == set(provider.datasets["records"].read)


@pytest.mark.parametrize(("name", "table"), [("batch_platform", "batch"), ("batch_consumer", "consumer")])
def test_a_service_has_the_secrets_that_its_table_names_and_no_others(name: str, table: str) -> None:
    given = {each for each in services(PROJECT)[name]["environment"] if each.endswith(("_TOKEN", "_DB_URL"))}
    assert set(re.findall(r"'env:(\w+)'", str(tomllib.loads(BATCH_CONFIG.read_text())[table]))) == given


@pytest.mark.parametrize("name", BATCH)
def test_the_database_follows_the_ports_and_names_of_the_pair(name: str) -> None:
    assert "@first_db:6666/app" in url(name, {"FIRST_DB_PORT": "6666", "POSTGRES_DB": "app"})
    assert url(name, {URLS[name]: "postgresql://elsewhere"}) == "postgresql://elsewhere"


def url(name: str, given: dict[str, str]) -> str:
    found: str = services({**PROJECT, **given})[name]["environment"][URLS[name]]
    return found


@pytest.fixture
async def provider(servers: EmbeddedPair) -> AsyncIterator[ServeProcess]:
    """A provider of the dataset that the example loads, with some records."""
    with fresh_database(servers) as dsn:
        await (await prepared(dsn)).run(FILL)
        with ServeProcess(dsn, auth={"tokens": READER}) as process:
            await process.until_answering()
            yield process


@pytest.fixture
def database(servers: EmbeddedPair) -> Iterator[str]:
    with fresh_database(servers) as made:
        yield made


@pytest.fixture
def ports() -> dict[str, str]:
    """Ports of this machine, for those in containers."""
    return {"8094": str(free_port()), "8095": str(free_port())}


@pytest.fixture
def found(provider: ServeProcess, database: str, ports: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """The services, with the settings and the task of the files but for addresses."""
    for source, name in ((BATCH_CONFIG, "snk.toml"), (BATCH_TASKS, "tasks.toml")):
        text = source.read_text().replace("http://serve_service:8092", provider.url).replace("0.0.0.0", "127.0.0.1")
        for host in BATCH:
            text = text.replace(f"http://{host}:", "http://127.0.0.1:")
        for given, port in ports.items():
            text = text.replace(given, port)
        (tmp_path / name).write_text(text)
    result = with_path(services({**PROJECT, "BATCH_DB_URL": database, "CONSUMER_DB_URL": database}))
    for name in BATCH:
        result[name]["environment"]["SNK_CONFIG"] = str(tmp_path / "snk.toml")
    return result


@pytest.mark.long
async def test_services_load_a_day_at_a_message_and_tell_their_health(
    found: dict[str, Any], database: str, ports: dict[str, str], launch: Launch, check: Check
) -> None:
    (needed,) = [line.removeprefix("#").strip() for line in BATCH_TASKS.read_text().splitlines() if EXAMPLE in line]
    rows = Database(database)
    await rows.run(needed)
    assert await asyncio.gather(*map(check, BATCH)) == [1, 1]
    processes = {name: launch(name) for name in BATCH}

    async def healthy() -> bool:
        for name, process in processes.items():
            assert process.poll() is None, name
        return await asyncio.gather(*map(check, BATCH)) == [0, 0]

    await until(healthy, "the health checks")
    await applied(found["batch_platform"]["environment"])
    async with aiohttp.ClientSession() as session:
        api = Api(f"http://127.0.0.1:{ports['8094']}", session, TOKENS["BATCH_TOKEN"])
        message = {"message": "events.ready", "payload": {"day": DAY}}
        assert (await Api(api.url, session)("POST", "/v1/messages", message, Idempotency_Key=DAY))[0] == 401
        status, told = await api("POST", "/v1/messages", message, Idempotency_Key=DAY)
        assert status == 202, told
        run = told["triggered"][0]["run"]

        async def ended() -> bool:
            return bool((await api.get(f"/v1/runs/{run}"))["ended_at"])

        await until(ended, "the run to end")
        shown = await api.get(f"/v1/runs/{run}")
    assert shown["state"] == "COMPLETED", shown
    assert [each["applied"] for each in shown["files"]] == [500]
    assert await rows.value("select count(*) from events_loaded where value = uid::integer") == 500
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0


async def applied(environment: dict[str, str]) -> None:
    """What the command at the top of the example does in the container of the platform."""
    words = ["snk", "batch", "apply", str(Path(environment["SNK_CONFIG"]).with_name("tasks.toml")), "--yes"]
    assert await asyncio.to_thread(subprocess.call, words, env=environment) == 0
