"""The systemd unit: no complaint of systemd's own checks, and its command says to systemd what the unit promises."""

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snk.embedded.process import free_port
from tests.docker.compose import ROOT
from tests.kit.databases import DEADLINE_SECONDS

UNIT = ROOT / "docker" / "snk.service"
ANALYZE = shutil.which("systemd-analyze") or ""
# Tenths; 10.0 is a service without any protection. What remains is that it may speak to any address.
MOST_EXPOSED = 13

needs_systemd = pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed here")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists: systemd looks."""
    path = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert "ExecStart=/opt/snk/bin/snk run\n" in text
    path.write_text(text.replace("/opt/snk/bin/snk", sys.executable))
    return path


def analyze(*args: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "SYSTEMD_COLORS": "0", "SYSTEMD_EMOJI": "0"}
    return subprocess.run([ANALYZE, *args], capture_output=True, text=True, check=False, env=environment)


@needs_systemd
def test_systemd_knows_every_line(unit: Path) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")  # an unknown key only warns


@needs_systemd
def test_systemd_finds_it_well_protected(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit)
    assert done.returncode == 0, done.stdout


def test_it_is_restarted_except_when_a_person_has_to_act() -> None:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    service = parser["Service"]
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "on-failure")
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["TimeoutStopSec"]) > 5
    assert int(service["WatchdogSec"])


def test_its_command_reports_ready_and_alive_and_stopping(pair: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(DEADLINE_SECONDS)
        environment = {
            "PATH": os.defpath,
            "FIRST_DB_URL": pair.first,
            "SECOND_DB_URL": pair.second,
            "REDIS_URL": pair.redis,
            "SNK_HTTP_PORT": str(free_port()),
        }
        snk = Path(sys.executable).with_name("snk")
        subprocess.run([snk, "init"], env=environment, cwd=tmp_path, check=True, capture_output=True)
        environment |= {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "2000000"}
        with subprocess.Popen([snk, "run"], env=environment, cwd=tmp_path) as daemon:
            try:
                assert until_message(systemd, "READY=1")
                assert until_message(systemd, "WATCHDOG=1")
                daemon.send_signal(signal.SIGTERM)
                assert until_message(systemd, "STOPPING=1")
                assert daemon.wait(DEADLINE_SECONDS) == 0
            finally:
                daemon.kill()


def until_message(systemd: socket.socket, wanted: str) -> bool:
    """Read notifications until this one; the socket's time-out is for the case that it never comes."""
    while wanted not in systemd.recv(4096).decode().splitlines():
        pass
    return True
