"""A folder of logs and a sync server, as the tests of the hand-off need them."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from snk.core.backoff import Backoff
from snk.handoff.backend import Backend
from snk.handoff.codecs.hustdb import Hustdb
from snk.handoff.dead import DeadLetters
from snk.handoff.outcome import HUSTDB
from snk.handoff.pool import Sending
from snk.handoff.record import Record, packed
from snk.handoff.server import Server, Serving
from snk.handoff.state import State
from tests.kit.databases import DEADLINE_SECONDS

HEAD = b"[2023-11-14 22:13:20] [DEBUG] | "
OLD = "2023-11-14-22-13.log"
NEXT = "2023-11-14-22-14.log"
Run = Callable[..., Any]
"""Runs `snk handoff` with the words given, and returns the process that has ended."""
# A test that is not about late answers must not see any: what got no answer in time is sent twice, as it should be.
SENDING = Sending(Hustdb(), HUSTDB, 3, 3600.0, Backoff(0.01, 0.05))


def line(key: str | bytes, ver: int = 1, value: bytes = b"v", method: int = 1, tb: bytes = b"") -> bytes:
    """One whole line."""
    name = key if isinstance(key, bytes) else key.encode()
    return HEAD + base64.b64encode(packed(Record(method, ver, name, 0, tb, 0, 0, value))) + b"\n"


def lines(keys: Iterable[Any]) -> bytes:
    """A line for each key."""
    return b"".join(line(str(key)) for key in keys)


@dataclass
class World:
    """Folders of logs and of state."""

    folder: Path
    serving: Serving = field(init=False)

    def __post_init__(self) -> None:
        self.logs = self.folder / "logs"
        self.logs.mkdir(exist_ok=True)
        self.serving = Serving(
            self.logs,
            SENDING,
            4,
            None,
            tls=False,
            check_seconds=0.05,
            scan_seconds=0.2,
            release_seconds=0.05,
            most_line=2**20,
        )

    def change(self, **given: Any) -> None:
        """Change how it works; what belongs to sending is changed there."""
        own = {name: value for name, value in given.items() if name in Serving.__slots__}
        sending = {name: value for name, value in given.items() if name not in own}
        self.serving = replace(self.serving, sending=replace(self.serving.sending, **sending), **own)

    def log(self, backend: str, name: str = OLD) -> Path:
        """The path of a log."""
        folder = self.logs / backend
        folder.mkdir(exist_ok=True)
        return folder / name

    def write(self, backend: str, content: bytes, name: str = OLD) -> Path:
        """Append to a log."""
        path = self.log(backend, name)
        with path.open("ab") as log:
            log.write(content)
        return path

    @property
    def state(self) -> State:
        """The folder of state."""
        return State(self.folder / "state")

    @property
    def letters(self) -> DeadLetters:
        """The dead letters."""
        return DeadLetters(self.state.dead)

    def dead(self) -> list[tuple[str, int, str]]:
        """The log, the line and the reason of every dead letter."""
        return [(letter.log, letter.line, letter.reason) for _, letter in self.letters.all()]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        """A sync server in this process."""
        stop = asyncio.Event()
        with self.state.locked():
            server = Server(self.serving, self.state)
            task = asyncio.create_task(server.run(stop))
            try:
                await until(lambda: server.monitor.looked or task.done(), "it has looked at the logs")
                yield server
            finally:
                stop.set()
                await task

    async def drained(self) -> bool:
        """Whether a sync server that ends by itself leaves nothing."""
        with self.state.locked():
            return await Server(self.serving, self.state).drain(asyncio.Event())

    def config(self, **more: Any) -> Path:
        """A file of settings for commands."""
        given = {
            "logs": str(self.logs),
            "state": str(self.folder / "state"),
            "checkdb_interval_ms": 50,
            "checklog_interval_ms": 200,
            "release_interval_ms": 50,
            "retry_first_ms": 10,
            "retry_most_ms": 50,
            "port": 0,
        } | more
        path = self.folder / "snk.toml"
        path.write_text("[handoff]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()))
        return path


def backend_of(server: Server, name: str) -> Backend:
    """What the server knows of a backend."""
    return server.lanes[name].backend


async def until(true: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for something; the limit is for tests that fail."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"in vain: {what}"
        await asyncio.sleep(0.01)


def started(config: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    """A process of `snk handoff`."""
    command = [sys.executable, "-m", "snk", "handoff", *words, "--config", str(config)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment})


def killed(process: subprocess.Popen[bytes]) -> None:
    """End a process as a power failure does, but for the disk."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
