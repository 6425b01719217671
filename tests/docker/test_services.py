"""What docker-compose would start is started here: the commands and environments of its services, as processes.

Only hosts and ports are others, since here the servers are on one machine; and a port of this machine is taken for the
daemon's own.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from snk.embedded.process import free_port
from tests.docker.compose import DOCKERFILE, dotenv, services
from tests.kit.databases import DEADLINE_SECONDS, Database, until, until_equal
from tests.tst.process import Summary

Launch = Callable[[str], "subprocess.Popen[str]"]
ROWS = 20_000


@pytest.fixture
def found(own_pair: Any) -> dict[str, Any]:
    """The services, with the hosts and ports of this test's servers."""
    addresses: dict[str, str] = {}
    for name, url in (("FIRST_DB", own_pair.first), ("SECOND_DB", own_pair.second), ("REDIS", own_pair.redis)):
        addresses[f"{name}_HOST"], addresses[f"{name}_PORT"] = str(urlsplit(url).hostname), str(urlsplit(url).port)
    project = {**dotenv(), **addresses}
    result = services(project)
    result["snk_service"]["environment"]["SNK_HTTP_PORT"] = str(free_port())
    for service in result.values():
        service["environment"]["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    return result


@pytest.fixture
def launch(found: dict[str, Any], tmp_path: Path) -> Iterator[Launch]:
    """Start a service by its name; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(name: str) -> "subprocess.Popen[str]":
        service = found[name]
        with (tmp_path / f"{name}.log").open("w") as log:
            started.append(
                subprocess.Popen(
                    service["command"],
                    env=service["environment"],
                    cwd=tmp_path,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.long
async def test_services_of_the_compose_file_keep_the_pair_equal(
    found: dict[str, Any], own_pair: Any, launch: Launch, tmp_path: Path
) -> None:
    first, second = Database(own_pair.first), Database(own_pair.second)
    load = launch("tst_service")
    daemon = launch("snk_service")

    async def healthy() -> bool:
        assert daemon.poll() is None, (tmp_path / "snk_service.log").read_text()
        check = health_check(found["snk_service"]["environment"], tmp_path)
        return check.returncode == 0

    async def loaded() -> bool:
        return bool(await first.value(f"select count(*) > {ROWS} from records"))

    await until(healthy, "the daemon's health check")
    await until(loaded, f"{ROWS} rows in the first database")
    load.send_signal(signal.SIGTERM)
    output, _ = load.communicate(timeout=DEADLINE_SECONDS)
    assert load.returncode == 0, (tmp_path / "tst_service.log").read_text()
    await until_equal(first, second, Summary.read(output).rows)
    daemon.send_signal(signal.SIGTERM)
    daemon.communicate(timeout=DEADLINE_SECONDS)
    assert daemon.returncode == 0, (tmp_path / "snk_service.log").read_text()


def test_health_check_of_a_daemon_that_is_not_there_fails(found: dict[str, Any], tmp_path: Path) -> None:
    assert health_check(found["snk_service"]["environment"], tmp_path).returncode != 0


def health_check(environment: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[bytes]":
    """Run the command of the image's HEALTHCHECK."""
    written = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    assert written
    return subprocess.run(json.loads(written.group(1)), env=environment, cwd=folder, capture_output=True, check=False)
