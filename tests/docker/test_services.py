"""What docker-compose would start is started here: the commands and environments of its services, as processes.

Only hosts and ports are others, since here the servers are on one machine; and a port of this machine is taken for the
daemon's own.
"""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from snk.embedded.process import free_port
from tests.docker.compose import DOCKERFILE, dotenv, services, with_path
from tests.docker.conftest import Launch
from tests.kit.databases import DEADLINE_SECONDS, Database, until, until_equal
from tests.tst.process import Summary

ROWS = 20_000


@pytest.fixture
def found(own_pair: Any) -> dict[str, Any]:
    """The services, with the hosts and ports of this test's servers."""
    addresses: dict[str, str] = {}
    for name, url in (("FIRST_DB", own_pair.first), ("SECOND_DB", own_pair.second), ("REDIS", own_pair.redis)):
        addresses[f"{name}_HOST"], addresses[f"{name}_PORT"] = str(urlsplit(url).hostname), str(urlsplit(url).port)
    project = {**dotenv(), **addresses}
    result = with_path(services(project))
    result["snk_service"]["environment"]["SNK_HTTP_PORT"] = str(free_port())
    return result


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
