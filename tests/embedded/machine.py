"""What these tests ask of the machine and of the servers, without a client library."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snk.embedded.binaries import enterable
from snk.embedded.identity import children_of, process_of
from snk.embedded.postgres import PostgresServer
from snk.embedded.process import Child, server_account, spawn
from tests.kit.databases import DEADLINE_SECONDS

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as somebody else")


def wait_until(happens: Callable[[], bool], what: str) -> None:
    """Look again and again, and fail in words."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happens():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def query(server: PostgresServer, statement: str) -> str:
    """The answer of a statement, by psql."""
    command = [str(server.executable("psql")), "-qXAt", "-v", "ON_ERROR_STOP=1", "-d", server.dsn, "-c", statement]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_SECONDS).stdout.strip()


def ask(port: int, *commands: str) -> list[str]:
    """Valkey's answer to each command, a line each."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as connection,
        connection.makefile("rw") as stream,
    ):
        answers = []
        for command in commands:
            stream.write(f"{command}\r\n")
            stream.flush()
            answers.append(stream.readline().strip())
        return answers


def family_of(pid: int) -> list[int]:
    return [pid, *children_of(pid)]


def gone(pids: list[int]) -> bool:
    return not any(process_of(pid) for pid in pids)


@contextmanager
def bystander(folder: Path) -> Iterator[Child]:
    """A process of the servers' account that is none of theirs."""
    program = shutil.which("sleep")
    assert program
    child = spawn([program, "600"], folder, folder / "bystander.log", server_account(), signal.SIGKILL)
    try:
        yield child
    finally:
        child.kill()


@contextmanager
def computing(server: PostgresServer) -> Iterator[int]:
    """The process of a backend that computes and looks at nothing else until then."""
    endless = "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b where a * b < 0"
    working = "select pid from pg_stat_activity where state = 'active' and query like '%where a * b <%' || ' 0'"
    command = [str(server.executable("psql")), "-qX", "-d", server.dsn, "-c", endless]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        try:
            wait_until(lambda: query(server, working) != "", "the backend")
            yield int(query(server, working))
        finally:
            client.kill()


def python_for_nobody() -> str:
    """A Python of this version that everybody may run; the tests' own may lie in root's home."""
    others = (shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path=os.defpath), sys.executable)
    for python in filter(None, others):
        if enterable(Path(python).resolve().parent) and enterable(Path(python).parent):
            return python
    pytest.skip("nobody can run no Python of this version here")


def packages() -> str:
    """PYTHONPATH for another Python: this tree, and what is installed for ours."""
    return os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("-packages"))])
