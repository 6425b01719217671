"""docker-compose.yml: valid, pinned, nobody root, every setting passed on."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from snk.handoff.settings import load_settings
from snk.pair.settings import Settings as SnkSettings
from tests.docker.compose import (
    BATCH_CONFIG,
    BATCH_TASKS,
    CONFIG,
    DOCKERFILE,
    FILE,
    PIPELINE_CONFIG,
    ROOT,
    dotenv,
    resolved,
    services,
)
from tst.settings import Settings as TstSettings

SERVERS = ["first_db", "second_db", "snk_redis"]
PROGRAMS = ["snk_service", "tst_service"]
HANDOFF = ["handoff_service", "handoff_front"]
PIPELINE = ["pipeline_service", "serve_service"]
BATCH = ["batch_platform", "batch_consumer"]


@pytest.fixture
def found() -> dict[str, Any]:
    return services(dotenv())


def test_compose_file_is_valid() -> None:
    tool = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [tool, "--builtin-schema", "vendor.compose-spec", FILE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_up_starts_all_five_services(found: dict[str, Any]) -> None:
    assert sorted(found) == sorted(SERVERS + PROGRAMS + HANDOFF + PIPELINE + BATCH)
    assert sorted(name for name, service in found.items() if "profiles" not in service) == sorted(SERVERS + PROGRAMS)
    assert all(found[name]["profiles"] == ["handoff"] for name in HANDOFF)
    assert all(found[name]["profiles"] == ["pipeline"] for name in PIPELINE)
    assert all(found[name]["profiles"] == ["batch"] for name in BATCH)


@pytest.mark.parametrize("name", SERVERS)
def test_servers_are_pinned_and_not_root_and_looked_after(found: dict[str, Any], name: str) -> None:
    service = found[name]
    assert re.fullmatch(r"[\w/]+:\d+\.\d+[\w.-]*", service["image"])
    assert service["user"] in {"postgres", "valkey"}
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", PROGRAMS + HANDOFF + PIPELINE + BATCH)
def test_programs_are_built_here_and_looked_after_and_have_no_rights(found: dict[str, Any], name: str) -> None:
    service = found[name]
    assert f"AS {service['build']['target']}\n" in DOCKERFILE.read_text()
    assert (service["restart"], service["init"], "user" in service) == ("unless-stopped", True, False)
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_pair_waits_for_its_databases(found: dict[str, Any], name: str) -> None:
    wanted = found[name]["depends_on"]
    assert wanted["first_db"] == wanted["second_db"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", HANDOFF + PIPELINE + BATCH)
def test_what_has_a_profile_depends_on_nothing_and_has_a_health_check_of_its_own(
    found: dict[str, Any], name: str
) -> None:
    assert "depends_on" not in found[name]
    assert found[name]["healthcheck"]["test"], "that of the image asks the daemon of the pair"


def test_the_handoff_shares_a_volume_that_its_user_may_write_to(found: dict[str, Any]) -> None:
    one, other = (found[name]["volumes"] for name in HANDOFF)
    assert one == other
    config, data = one
    source, target, mode = config.split(":")
    assert (ROOT / source, mode) == (CONFIG, "ro")
    assert all(found[name]["environment"]["SNK_CONFIG"] == target for name in HANDOFF)
    volume, folder = data.split(":")
    assert volume in yaml.safe_load(FILE.read_text())["volumes"]
    settings = load_settings(CONFIG)
    assert made_for_the_user(folder) == [folder, str(settings.logs), str(settings.state)]
    assert {settings.logs.parent, settings.state.parent} == {Path(folder)}


def made_for_the_user(folder: str) -> list[str]:
    """The folders from this one on that an image has for the user as whom its program runs, and for nobody else."""
    text = DOCKERFILE.read_text()
    made = re.search(rf"install -d -o (\d+) -g (\d+) -m 700 ({re.escape(folder)}\b[^\\\n]*)", text)
    user = re.search(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert made
    assert user
    assert made.groups()[:2] == user.groups()
    return made[3].split()


def test_the_pipeline_has_a_volume_that_its_user_may_write_to_and_serve_has_none(found: dict[str, Any]) -> None:
    config, data = found["pipeline_service"]["volumes"]
    assert found["serve_service"]["volumes"] == [config]
    source, target, mode = config.split(":")
    assert (ROOT / source, mode) == (PIPELINE_CONFIG, "ro")
    assert all(found[name]["environment"]["SNK_CONFIG"] == target for name in PIPELINE)
    volume, folder = data.split(":")
    assert volume in yaml.safe_load(FILE.read_text())["volumes"]
    assert made_for_the_user(folder) == [folder]
    assert tomllib.loads(PIPELINE_CONFIG.read_text())["pipeline"]["space"] == folder


def test_the_batch_reads_its_files_and_has_no_volume(found: dict[str, Any]) -> None:
    config, tasks = found["batch_platform"]["volumes"]
    assert found["batch_consumer"]["volumes"] == [config]
    source, target, mode = config.split(":")
    assert (ROOT / source, mode) == (BATCH_CONFIG, "ro")
    assert all(found[name]["environment"]["SNK_CONFIG"] == target for name in BATCH)
    source, target, mode = tasks.split(":")
    assert (ROOT / source, mode) == (BATCH_TASKS, "ro")
    assert f"exec batch_platform snk batch apply {target}\n" in BATCH_TASKS.read_text()


def test_load_knows_the_databases_only(found: dict[str, Any]) -> None:
    assert sorted(found["tst_service"]["depends_on"]) == ["first_db", "second_db"]
    assert {name for name in found["tst_service"]["environment"] if "SNK" in name or "REDIS" in name} == set()


@pytest.mark.parametrize(("service", "settings"), [("snk_service", SnkSettings), ("tst_service", TstSettings)])
def test_every_setting_reaches_its_container(service: str, settings: Any) -> None:
    names = {name.upper() for name in settings.model_fields}
    assert set(yaml.safe_load(FILE.read_text())["services"][service]["environment"]) == names


def test_a_port_in_the_environment_moves_server_and_clients_alike() -> None:
    found = services({**dotenv(), "DB_PORT": "5555", "SECOND_DB_PORT": "6666", "REDIS_PORT": "7777"})
    assert found["first_db"]["environment"]["PGPORT"] == "5555"
    assert found["second_db"]["environment"]["PGPORT"] == "6666"
    assert "7777" in found["snk_redis"]["command"]
    client = found["snk_service"]["environment"]
    assert (client["DB_PORT"], client["SECOND_DB_PORT"], client["REDIS_PORT"]) == ("5555", "6666", "7777")


def test_only_status_and_front_and_tables_and_the_batch_are_published_and_on_this_machine_only(
    found: dict[str, Any],
) -> None:
    published = {name: service["ports"] for name, service in found.items() if "ports" in service}
    assert published == {
        "snk_service": ["127.0.0.1:8089:8089"],
        "handoff_service": ["127.0.0.1:8090:8090"],
        "handoff_front": ["127.0.0.1:8091:8091"],
        "serve_service": ["127.0.0.1:8092:8092"],
        "batch_platform": ["127.0.0.1:8094:8094"],
    }


def test_status_is_for_the_container_only_until_a_token_is_set(found: dict[str, Any]) -> None:
    assert "SNK_HTTP_HOST" not in found["snk_service"]["environment"], "so it is 127.0.0.1"
    opened = services({**dotenv(), "SNK_HTTP_HOST": "0.0.0.0", "SNK_HTTP_TOKEN": "t" * 16})
    environment = opened["snk_service"]["environment"]
    assert (environment["SNK_HTTP_HOST"], environment["SNK_HTTP_TOKEN"]) == ("0.0.0.0", "t" * 16)


def test_data_is_kept_where_postgres_18_has_it(found: dict[str, Any]) -> None:
    for name in ("first_db", "second_db"):
        (volume,) = found[name]["volumes"]
        assert volume.endswith("_data:/var/lib/postgresql")


def test_variables_resolve_as_documented() -> None:
    text = "${A:-x} ${B:-${A:-y}} ${C} $$D"
    assert resolved(text, {"A": "1"}) == "1 1  $D"
    assert resolved(text, {"A": "", "B": "2", "C": "3"}) == "x 2 3 $D"
