"""The hand-off of docker-compose: its settings are accepted, and its services, as processes, hand a write over."""

import asyncio
import json
import re
import signal
import subprocess
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from snk.embedded.process import free_port
from snk.handoff.names import is_backend
from snk.handoff.settings import Handoff, load_settings
from tests.docker.compose import CONFIG, dotenv, services, with_path
from tests.docker.conftest import Launch
from tests.kit.backends import asking
from tests.kit.databases import DEADLINE_SECONDS, until
from tests.kit.scripted import Backend

HANDOFF = ["handoff_service", "handoff_front"]
Check = Callable[[str], Awaitable[int]]


def test_settings_are_accepted() -> None:
    assert set(tomllib.loads(CONFIG.read_text())) == {"handoff"}
    settings = load_settings(CONFIG)
    found = services(dotenv())
    assert settings.host in found, "the front finds the sync server by the name of its service"
    assert found[settings.host]["command"] == ["snk", "handoff", "run"]
    assert found[settings.host]["ports"][0].endswith(f":{settings.port}")
    assert found["handoff_front"]["ports"][0].endswith(f":{settings.front.port}")
    assert len(set(settings.front.backends)) > 1
    assert all(is_backend(name) for name in settings.front.backends)


def test_settings_that_are_only_shown_exist_too(tmp_path: Path) -> None:
    shown = re.sub(r"^# (\w+ = )", r"\1", CONFIG.read_text(), flags=re.MULTILINE)
    assert shown != CONFIG.read_text()
    table = tomllib.loads(shown)["handoff"]
    (tmp_path / "auth").write_text("user:password\n")
    table["auth_file"] = str(tmp_path / "auth")
    assert Handoff.model_validate(table).authorization() == "user:password"


def test_the_networks_of_docker_may_ask_for_the_status_and_no_others() -> None:
    visitors = load_settings(CONFIG).visitors
    assert all(map(visitors.admits, ("127.0.0.1", "172.18.0.3", "172.31.0.1", "192.168.16.2")))
    assert not any(map(visitors.admits, ("8.8.8.8", "10.0.0.1", "172.32.0.1", "2001:db8::1")))


@pytest.fixture
async def backends() -> AsyncIterator[tuple[Backend, Backend]]:
    """Two backends, of which the second is down."""
    made = Backend(), Backend()
    for backend in made:
        backend.says = lambda _: web.Response(headers={"Version": "1"})
        await backend.start()
    await made[1].stop()
    yield made
    for backend in made:
        await backend.stop()


@pytest.fixture
def ports() -> dict[str, int]:
    """Ports of this machine, for those in containers."""
    return {"8090": free_port(), "8091": free_port()}


@pytest.fixture
def found(backends: tuple[Backend, Backend], ports: dict[str, int], tmp_path: Path) -> dict[str, Any]:
    """The services, with the settings of the file but for addresses and folders, and a shorter interval."""
    table = tomllib.loads(CONFIG.read_text())["handoff"]
    (tmp_path / "logs").mkdir()
    table |= {"logs": str(tmp_path / "logs"), "state": str(tmp_path / "state"), "checkdb_interval_ms": 50}
    table |= {"host": "127.0.0.1", "port": ports["8090"]}
    front = table.pop("front") | {"port": ports["8091"], "backends": [each.name for each in backends]}
    config = tmp_path / "snk.toml"
    config.write_text(f"[handoff]\n{written(table)}\n[handoff.front]\n{written(front)}")
    result = with_path(services(dotenv()))
    for name in HANDOFF:
        result[name]["environment"]["SNK_CONFIG"] = str(config)
    return result


def written(table: dict[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())


@pytest.fixture
def check(found: dict[str, Any], ports: dict[str, int], tmp_path: Path) -> Check:
    """Run a service's health check as Docker does, and return its exit code."""

    async def run(name: str) -> int:
        kind, *command = found[name]["healthcheck"]["test"]
        words = ["/bin/sh", "-c", *command] if kind == "CMD-SHELL" else command
        words = [word.replace(":8091/", f":{ports['8091']}/") for word in words]
        return await asyncio.to_thread(
            subprocess.call, words, env=found[name]["environment"], cwd=tmp_path, stderr=subprocess.DEVNULL
        )

    return run


@pytest.mark.long
async def test_services_hand_over_a_write_and_tell_their_health(
    backends: tuple[Backend, Backend], ports: dict[str, int], launch: Launch, check: Check
) -> None:
    up, down = backends
    assert await asyncio.gather(*map(check, HANDOFF)) == [1, 1], "2 is not for health checks"
    processes = {name: launch(name) for name in HANDOFF}

    async def healthy() -> bool:
        assert all(process.poll() is None for process in processes.values())
        return await asyncio.gather(*map(check, HANDOFF)) == [0, 0]

    async def trouble() -> bool:
        return (await ask.get("/health")).status == 503

    async def handed_over() -> bool:
        return len(down.got) == 1

    await until(healthy, "the health checks")
    async with asking(f"127.0.0.1:{ports['8091']}") as front, asking(f"127.0.0.1:{ports['8090']}") as ask:
        answer = await front.post("/hustdb/put?key=a&ver=1", b"value")
        assert (answer.status, answer.headers["Sync"], len(up.got)) == (200, down.name, 1)
        await until(trouble, "a line that waits for a backend which is down")
        assert await healthy(), "a backend that is down is no fault of the server"
        assert (await front.get("/sync_alive")).status == 200
        await down.start()
        await until(handed_over, "the backend that was down")
    for process in processes.values():
        process.send_signal(signal.SIGTERM)
    for process in processes.values():
        await asyncio.to_thread(process.communicate, timeout=DEADLINE_SECONDS)
    assert [process.returncode for process in processes.values()] == [0, 0]
    assert await asyncio.gather(*map(check, HANDOFF)) == [1, 1]
