"""Commands of SNK as processes of their own, forked from one that has loaded SNK already."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from tests.kit.databases import DEADLINE_SECONDS

ROOT = Path(__file__).parents[2]
TRUSTED = "SSL_CERT_FILE"


class Command:
    """``snk`` with some words, running; what can be done with it is what ``subprocess.Popen`` calls it.

    Args:
        words: what follows ``snk``.
        streams: its standard input, output and error.
        folder: where it runs.
        environment: all of its variables; those of the tests if none are given.
    """

    def __init__(
        self,
        words: tuple[str, ...],
        streams: tuple[IO[bytes], IO[bytes], IO[bytes]],
        folder: Path | str = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.words = words
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        variables = dict(os.environ if environment is None else environment)
        self._connection.connect(_nursery(variables.get(TRUSTED, "")).address)
        asked = json.dumps({"words": words, "folder": str(folder), "environment": variables})
        socket.send_fds(self._connection, [asked.encode() + b"\n"], [each.fileno() for each in streams])
        self.pid = self._number()

    def _number(self) -> int:
        """The next number that is told: that of the process, then its exit code."""
        line = b""
        while not line.endswith(b"\n"):
            received = self._connection.recv(1)
            assert received, f"whoever waits for snk {self.words} is gone"
            line += received
        return int(line)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, for so many seconds at most; return its exit code."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = self._number()
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(["snk", *self.words], timeout or 0.0) from None
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def start_command(
    *words: str, log: Path, folder: Path | str = ROOT, environment: Mapping[str, str] | None = None
) -> Command:
    """Start ``snk`` with these words; all that it prints is added to a log."""
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        return Command(words, (nothing, output, output), folder, environment)


def run_command(
    *words: str,
    folder: Path | str = ROOT,
    environment: Mapping[str, str] | None = None,
    says: str = "",
    timeout: float = DEADLINE_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run ``snk`` with these words to its end, with these lines on its standard input.

    If it has not ended after ``timeout`` seconds, it is killed and the test fails.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told:
        given.write(says.encode())
        given.seek(0)
        command = Command(words, (given, printed, told), folder, environment)
        try:
            code = command.wait(timeout)
        except subprocess.TimeoutExpired:
            command.kill()
            raise
        printed.seek(0)
        told.seek(0)
        return subprocess.CompletedProcess(["snk", *words], code, printed.read().decode(), told.read().decode())


@dataclass(frozen=True)
class Nursery:
    """The process that forks for commands; it ends with this one, which holds its standard input."""

    address: str
    process: subprocess.Popen[bytes]


@cache
def _nursery(trusted: str) -> Nursery:
    """One for each file of authorities, which is read when modules are loaded."""
    address = f"{tempfile.mkdtemp(prefix='snk-nursery-')}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.nursery", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, TRUSTED: trusted},
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return Nursery(address, process)
