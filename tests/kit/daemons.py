"""The daemon as a process of its own, to be stopped, killed and started again."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from bench.usage import peak_mib
from snk.embedded.process import free_port
from tests.kit.commands import Command, run_command, start_command
from tests.kit.databases import DEADLINE_SECONDS, until
from tests.kit.heirs import SCRIPT

# A flow that failed before its first step says that it goes on, when it begins.
BEGAN = re.compile(r"flow_started|flow_resumed")
DIRECTION = re.compile(r"(?:source|destination)=\w+")
OWN_TABLES = ("marks", "conflicts", "rejected", "ledgers", "sweeps", "leases", "canaries")
# What `snk init` says of an empty database.
CREATED = f"created snk, {', '.join(f'snk.{name}' for name in OWN_TABLES)}, records, snk.journal, snk.wait_for_commits"


class DaemonProcess:
    """``snk run`` against one pair; as a context manager it leaves nothing running.

    Args:
        pair: its databases and its Redis.
        heritage: what its parent leaves behind (``heirs.py``).
        values: variables of its environment.
    """

    _forked = True

    def __init__(self, pair: Any, *, heritage: str = "", **values: str) -> None:
        self._parent = [sys.executable, SCRIPT, heritage] if heritage else []
        self._folder = tempfile.TemporaryDirectory(prefix="snk-daemon-")
        self._log = Path(self._folder.name) / "log"
        self._before = 0
        self._process: subprocess.Popen[bytes] | Command | None = None
        self._values = {
            "FIRST_DB_URL": pair.first,
            "SECOND_DB_URL": pair.second,
            "REDIS_URL": pair.redis,
            "SNK_HTTP_PORT": str(free_port()),
            **values,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._values['SNK_HTTP_PORT']}"

    def snk(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of SNK with the settings of this daemon."""
        return run_snk(self._values, *arguments)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which it runs: another program finds the same databases."""
        return {**os.environ, **self._values}

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def peak_mib(self) -> float:
        """The most memory the process ever held; where the system does not tell, the test is skipped."""
        assert self._process
        if not Path(f"/proc/{self._process.pid}/status").exists():
            pytest.skip("this system does not tell how much memory a process held")
        return peak_mib([self._process.pid])

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    async def until_flowing(self) -> None:
        """Wait until every flow of the process started last has begun."""

        async def flowing() -> bool:
            assert self.running, self.log
            began = [line for line in self._log.read_text()[self._before :].splitlines() if BEGAN.search(line)]
            return len({tuple(DIRECTION.findall(line)) for line in began}) >= 2

        await until(flowing, "the daemon to start")

    def start(self) -> None:
        self._before = len(self._log.read_bytes()) if self._log.exists() else 0
        words = ("run", "--init")
        if self._forked and not self._parent:
            self._process = start_command(*words, log=self._log, environment=self.environment)
            return
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._parent, sys.executable, "-m", "snk", *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """SIGKILL, at whatever it is doing."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def send(self, number: int) -> None:
        """Send it any signal."""
        assert self._process
        self._process.send_signal(number)

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Ask it to stop, and return its exit code."""
        assert self._process
        self._process.send_signal(how)
        return self._process.wait(DEADLINE_SECONDS)


class FreshDaemonProcess(DaemonProcess):
    """Its memory is its own, and not partly that of the process that loaded SNK for all tests."""

    _forked = False


def run_snk(values: Mapping[str, str], *arguments: str, says: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command of SNK to its end, where no .env is, with these lines on its standard input."""
    return run_command(*arguments, environment={**os.environ, **values}, folder=tempfile.gettempdir(), says=says)
