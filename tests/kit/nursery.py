"""A process that has loaded SNK once, and forks for every command that a test runs: loading takes a second each time.

What runs is ``python -m snk`` in a process of its own, with its own directory, variables and streams. Tests of how
programs start, and of how much memory they need, start theirs the plain way.
"""

import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import snk

MOST_BYTES = 1_000_000


def main(address: str) -> None:
    """Wait for commands until the process that started this one ends; then leave nothing of the address's folder."""
    for module in pkgutil.walk_packages(snk.__path__, "snk."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for commands
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(100)
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _attend(connection)
            connection.close()
    shutil.rmtree(Path(address).parent)


def _attend(connection: socket.socket) -> None:
    """Run one command, and tell its number and then its exit code to whom it was started for."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    line, streams, *_ = socket.recv_fds(connection, MOST_BYTES, 3)
    while not line.endswith(b"\n"):
        line += connection.recv(MOST_BYTES)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(json.loads(line), streams)
    for stream in streams:
        os.close(stream)
    connection.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be the command: its end is the end of this process."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["snk", *asked["words"]]
    runpy.run_module("snk", run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main(sys.argv[1])
