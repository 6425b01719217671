"""The pipeline of docker-compose: its settings are accepted, and its services, as processes, bring a record over."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from snk.embedded.process import free_port
from snk.pair.servers import EmbeddedPair
from snk.pipeline import settings as pipeline
from snk.serve import settings as serve
from tests.docker.compose import PIPELINE_CONFIG, dotenv, services, with_path
from tests.docker.conftest import Check, Launch
from tests.kit.databases import DEADLINE_SECONDS, until
from tests.kit.pipeline import Sender, iso, minutes_ago, serving
from tests.kit.serve import fresh_database, prepared

PIPELINE = ["pipeline_service", "serve_service"]
TOKEN = "0123456789abcdef0123456789abcdef"
PROJECT = {**dotenv(), "SERVE_TOKEN": TOKEN}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the settings name, as the services have them."""
    monkeypatch.setenv("SERVE_TOKEN", TOKEN)
    monkeypatch.setenv("SERVE_DB_URL", services(PROJECT)["serve_service"]["environment"]["SERVE_DB_URL"])


@pytest.mark.usefixtures("secrets")
def test_settings_are_accepted_and_fit_the_services() -> None:
    ours, theirs, found = (
        pipeline.load_settings(PIPELINE_CONFIG),
        serve.load_settings(PIPELINE_CONFIG),
        services(PROJECT),
    )
    assert ours.sink.url == f"http://serve_service:{theirs.port}/v1/records"
    assert set(theirs.datasets) == {"records"}
    assert theirs.auth.closed, "other containers reach it"
    assert found["serve_service"]["ports"][0].endswith(f":{theirs.port}")
    assert theirs.dsn == "postgresql://postgres:postgres@second_db:5432/postgres"
    assert f'"127.0.0.1", {ours.port}' in found["pipeline_service"]["healthcheck"]["test"][-1]


def test_the_database_follows_the_ports_and_names_of_the_pair() -> None:
    assert "@second_db:6666/app" in url({"SECOND_DB_PORT": "6666", "POSTGRES_DB": "app"})
    assert url({"SERVE_DB_URL": "postgresql://elsewhere"}) == "postgresql://elsewhere"


def url(given: dict[str, str]) -> str:
    found: str = services({**PROJECT, **given})["serve_service"]["environment"]["SERVE_DB_URL"]
    return found


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    """A source with one record in the last minute but one."""
    made = Sender()
    made.records.append({"uid": "one", "created_at": iso(minutes_ago(2)), "at": iso(minutes_ago(2)), "value": 1})
    async with serving(made):
        yield made


@pytest.fixture
def database(servers: EmbeddedPair) -> Iterator[str]:
    with fresh_database(servers) as made:
        yield made


@pytest.fixture
def ports() -> dict[str, str]:
    """Ports of this machine, for those in containers."""
    return {"8092": str(free_port()), "8093": str(free_port())}


@pytest.fixture
def found(sender: Sender, database: str, ports: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """The services, with the settings of the file but for addresses, the folder, and a delay for tests."""
    text = PIPELINE_CONFIG.read_text().replace("http://serve_service:", "http://127.0.0.1:")
    for given, port in ports.items():
        text = text.replace(given, port)
    text = text.replace("http://ss.example/records?from={start}&to={end}", sender.url)
    text = text.replace("/var/lib/snk/pipeline", str(tmp_path / "space")).replace("0.0.0.0", "127.0.0.1")
    text = re.sub(r"^base = .*$", f"base = {iso(minutes_ago(3))}\ndelay_seconds = 0", text, flags=re.MULTILINE)
    text += '\n[pipeline.mapping]\nuid = "uid"\ncreated_at = "created_at"\nvalue = "value"\n'
    (tmp_path / "snk.toml").write_text(text)
    result = with_path(services({**PROJECT, "SERVE_DB_URL": database}))
    for name in PIPELINE:
        result[name]["environment"]["SNK_CONFIG"] = str(tmp_path / "snk.toml")
    return result


@pytest.mark.long
async def test_services_bring_a_record_over_and_tell_their_health(database: str, launch: Launch, check: Check) -> None:
    rows = await prepared(
        database, "create table events (uid text primary key, created_at timestamptz not null, value integer)"
    )
    assert await asyncio.gather(*map(check, PIPELINE)) == [1, 1]
    processes = {name: launch(name) for name in PIPELINE}

    async def healthy() -> bool:
        assert all(process.poll() is None for process in processes.values())
        return await asyncio.gather(*map(check, PIPELINE)) == [0, 0]

    async def there() -> bool:
        return bool(await rows.value("select count(*) = 1 from events where uid = 'one' and value = 1"))

    await until(healthy, "the health checks")
    await until(there, "the record")
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0
