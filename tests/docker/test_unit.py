"""The systemd units: no complaint of systemd's own checks, and their commands say to systemd what the units promise."""

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from snk.embedded.process import free_port
from snk.handoff.settings import Handoff
from snk.pipeline.settings import Pipeline
from tests.docker.compose import ROOT
from tests.kit.databases import DEADLINE_SECONDS
from tests.kit.handoff import World
from tests.kit.pipeline import Pair, Receiver, Sender, minutes_ago

PROGRAM = "/opt/snk/bin/snk"
COMMANDS = {
    "snk-batch-platform": ["batch", "platform", "--config", "/etc/snk/batch.toml"],
    "snk-batch-consumer": ["batch", "consumer", "--config", "/etc/snk/consumer.toml"],
    "snk": ["run"],
    "snk-handoff": ["handoff", "run", "--config", "/etc/snk/snk.toml"],
    "snk-pipeline": ["pipeline", "run", "--config", "/etc/snk/pipeline.toml"],
    "snk-portal": ["portal", "--config", "/etc/snk/portal.toml"],
    "snk-serve": ["serve", "--config", "/etc/snk/serve.toml"],
}
UNITS = {name: ROOT / "docker" / f"{name}.service" for name in COMMANDS}
ANALYZE = shutil.which("systemd-analyze") or ""
# Tenths; 10.0 is a service without any protection. What remains is that it may speak to any address.
MOST_EXPOSED = 13
OWNER, GUEST = 30_000, 30_001
"""User ids that do not exist on any machine."""

needs_systemd = pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed here")
each_unit = pytest.mark.parametrize("name", UNITS)


@pytest.fixture
def unit(name: str, tmp_path: Path) -> Path:
    """A unit with a program that exists: systemd looks."""
    path = tmp_path / UNITS[name].name
    path.write_text(UNITS[name].read_text().replace(PROGRAM, sys.executable))
    return path


def section(name: str, title: str) -> configparser.SectionProxy:
    """One section of a unit; of a line that is there twice, the last."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS[name])
    return parser[title]


def analyze(*args: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"}
    return subprocess.run([ANALYZE, *args], capture_output=True, text=True, check=False, env=environment)


@each_unit
@needs_systemd
def test_systemd_knows_every_line(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")  # an unknown key only warns


@each_unit
@needs_systemd
def test_systemd_finds_it_well_protected(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit)
    assert done.returncode == 0, done.stdout


@each_unit
def test_it_is_restarted_except_when_a_person_has_to_act(name: str) -> None:
    service = section(name, "Service")
    assert section(name, "Unit")["StartLimitIntervalSec"] == "0"
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "on-failure")
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["TimeoutStopSec"]) > 5
    assert int(service["WatchdogSec"])


@dataclass
class Started:
    """What a unit needs to be started here.

    Attributes:
        words: its command, with files of this test.
        environment: what its command is told.
    """

    words: list[str]
    environment: dict[str, str]


@pytest.fixture
def ready(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Started:
    """A unit's command, and what it needs."""
    assert section(name, "Service")["ExecStart"] == " ".join([PROGRAM, *COMMANDS[name]])
    if name == "snk-portal":
        return started(name, portal_config(tmp_path))
    if name == "snk-handoff":
        return started(name, World(tmp_path).config())
    if name == "snk-pipeline":
        here = Pair(tmp_path, minutes_ago(2), Sender(port=free_port()), Receiver(port=free_port()))
        return started(name, here.configure())
    pair = request.getfixturevalue("pair")
    if name in MAKERS:
        init, config = MAKERS[name]
        made = started(name, config(pair.first, tmp_path))
        subprocess.run([snk(), *init, *made.words[-2:]], env=made.environment, check=True, capture_output=True)
        return made
    environment = {
        "PATH": os.defpath,
        "FIRST_DB_URL": pair.first,
        "SECOND_DB_URL": pair.second,
        "REDIS_URL": pair.redis,
        "SNK_HTTP_PORT": str(free_port()),
    }
    subprocess.run([snk(), "init"], env=environment, cwd=tmp_path, check=True, capture_output=True)
    return Started(COMMANDS[name], environment)


def started(name: str, config: Path) -> Started:
    """A unit's command, with this file of settings in place of its own."""
    return Started([str(config) if word.startswith("/etc/") else word for word in COMMANDS[name]], {"PATH": os.defpath})


def portal_config(folder: Path) -> Path:
    """Settings by which one process is shown, which is not there."""
    config = folder / "portal.toml"
    config.write_text(f'[portal]\nport = {free_port()}\n[[portal.processes]]\nname = "a"\nurl = "http://127.0.0.1:1"\n')
    return config


def serve_config(database: str, folder: Path) -> Path:
    """Settings by which a table can be read that every database has."""
    config = folder / "serve.toml"
    dataset = '[serve.datasets.settings]\ntable = "pg_catalog.pg_settings"\nkey = "name"\nread = ["setting"]\n'
    config.write_text(f'[serve]\ndatabase = "{database}"\nport = {free_port()}\n{dataset}')
    return config


def batch_config(database: str, folder: Path) -> Path:
    """Settings of a node of the platform, and of a consumer."""
    config = folder / "batch.toml"
    tables = [f'[{name}]\ndatabase = "{database}"\nport = {free_port()}\n' for name in ("batch", "consumer")]
    config.write_text("".join(tables))
    return config


MAKERS = {
    "snk-serve": (["serve", "init"], serve_config),
    "snk-batch-platform": (["batch", "init"], batch_config),
    "snk-batch-consumer": (["batch", "consumer", "init"], batch_config),
}
"""How the tables of a unit are made, and its settings."""


@pytest.mark.long
@each_unit
def test_its_command_reports_ready_and_alive_and_stopping(ready: Started, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE_SECONDS)
        environment = ready.environment | {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "2000000"}
        with subprocess.Popen([snk(), *ready.words], env=environment, cwd=tmp_path) as daemon:
            try:
                told = [*until_message(systemd, "READY=1"), *until_message(systemd, "WATCHDOG=1")]
                assert any(line.startswith("STATUS=") for line in told)
                assert "STOPPING=1" not in [*told, *until_message(systemd, "WATCHDOG=1")]
                daemon.send_signal(signal.SIGTERM)
                assert until_message(systemd, "STOPPING=1")
                assert daemon.wait(DEADLINE_SECONDS) == 0
            finally:
                daemon.kill()


def until_message(systemd: socket.socket, wanted: str) -> list[str]:
    """Read notifications until this one; the socket's time-out is for the case that it never comes."""
    told: list[str] = []
    while wanted not in told:
        told += systemd.recv(4096).decode().splitlines()
    return told


def snk() -> Path:
    return Path(sys.executable).with_name("snk")


@pytest.fixture
def installed() -> Iterator[Path]:
    """The folder of the hand-off, as the commands at the top of its unit make it, with one backend."""
    if os.geteuid() != 0:
        pytest.skip("only root can give folders to others")
    with tempfile.TemporaryDirectory() as root:  # unlike the folder of a test, it can be opened to others
        Path(root).chmod(0o711)
        commands = re.findall(r"^#   (install -d .+?)(?:  .*)?$", UNITS["snk-handoff"].read_text(), re.MULTILINE)
        assert len(commands) == 4
        for command in commands:
            here = command.replace("snk-handoff", str(OWNER)).replace("/var/lib", root)
            subprocess.run(["/bin/sh", "-c", here], check=True)
        yield Path(root, "snk", "handoff")


def as_user(user: int, command: str, folder: Path, umask: int = 0o077) -> bool:
    """Whether a command of this user, who is in the group of the owner, succeeds."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd="/",
        env={"PATH": os.defpath, "D": str(folder)},
        user=user,
        group=user,
        extra_groups=[OWNER],
        umask=umask,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_its_user_may_write_where_the_handoff_keeps_its_files() -> None:
    service = section("snk-handoff", "Service")
    settings = Handoff()
    assert {settings.logs.parent, settings.state.parent} == {Path("/var/lib", service["StateDirectory"])}
    assert (service["User"], service["Group"], "DynamicUser" in service) == ("snk-handoff", "snk-handoff", False)
    assert f"-m {service['StateDirectoryMode'].lstrip('0')} /var/lib/snk/handoff\n" in UNITS["snk-handoff"].read_text()


@pytest.mark.parametrize("name", sorted(UNITS.keys() - {"snk", "snk-handoff"}))
def test_its_settings_are_readable_for_its_user_alone(name: str) -> None:
    service, text = section(name, "Service"), UNITS[name].read_text()
    assert (service["User"], service["Group"], "DynamicUser" in service) == (name, name, False)
    config = service["ExecStart"].split()[-1]
    assert re.search(rf"^#   install -D -o {name} -m 400 \S+ {config} ", text, re.MULTILINE)


def test_its_user_may_write_where_the_pipeline_keeps_its_files() -> None:
    service = section("snk-pipeline", "Service")
    assert Pipeline.model_fields["space"].default == Path("/var/lib", service["StateDirectory"])
    assert service["StateDirectoryMode"] == "0700"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o007])
def test_logs_of_another_user_can_be_read_and_deleted(installed: Path, umask: int) -> None:
    assert as_user(GUEST, 'echo line >> "$D/logs/HOST:PORT/log"', installed, umask)
    assert as_user(OWNER, 'grep -q line "$D/logs/HOST:PORT/log" && rm -f "$D/logs/HOST:PORT/log"', installed)
    assert not list((installed / "logs" / "HOST:PORT").iterdir())


def test_another_user_may_make_the_folder_of_a_backend(installed: Path) -> None:
    assert as_user(GUEST, 'mkdir "$D/logs/other:1" && echo line > "$D/logs/other:1/log"', installed, 0o007)
    assert as_user(OWNER, 'rm -f "$D/logs/other:1/log"', installed)
    assert not list((installed / "logs" / "other:1").iterdir())


def test_another_user_reaches_the_logs_and_nothing_else(installed: Path) -> None:
    assert as_user(OWNER, 'mkdir "$D/state/dead"', installed)
    assert not as_user(GUEST, 'ls "$D"', installed)
    assert not as_user(GUEST, 'ls "$D/state"', installed)
    assert not as_user(GUEST, 'ls "$D/state/dead"', installed)
    assert not as_user(GUEST, 'mkdir "$D/more"', installed)
