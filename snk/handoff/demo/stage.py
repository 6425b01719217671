"""What the demo runs: a database server, and two backends, a front and a sync server as processes of their own."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from snk.db.server import Server
from snk.embedded.postgres import PostgresServer
from snk.embedded.process import Child, free_port, spawn
from snk.embedded.proxy import Proxy
from snk.embedded.state import held
from snk.errors import ServersUnfit
from snk.handoff.client import BackendClient
from snk.signals import end_undisturbed

HOST = "127.0.0.1"
DATABASES = ("first", "second")
FIRST, SECOND, FRONT, SYNC, LAST = "backend-1", "backend-2", "front", "sync-server", "last-run"
PASSWORD = "demo"  # noqa: S105 - of a server that is gone when the command ends
OPTIONS = {"fsync": "off"}
"""It is not the database server that fails here, so nobody needs to wait for its disk."""
START_SECONDS = 30.0
STOP_SECONDS = 10.0
LAST_SECONDS = 30.0
LOOK_SECONDS = 0.02
AHEAD = timedelta(minutes=3)
"""So much later, nothing can be written to the log of this minute any more."""
SETTINGS = {
    "threads": 16,
    "checkdb_interval_ms": 200,
    "checklog_interval_ms": 1000,
    "release_interval_ms": 500,
    "retry_most_ms": 1000,
    "timeout_ms": 2000,
}
_PLAIN = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


class Stage:
    """The processes and the folder that they share.

    Attributes:
        urls: of the databases of both backends.
        network: in front of the second backend.
        backends: the addresses by which the front and the sync server know them.
    """

    def __init__(self, folder: Path, database: PostgresServer, network: Proxy, ports: tuple[int, int]) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.state = folder / "state"
        self.network = network
        self.urls = [f"{database.dsn.removesuffix('postgres')}{name}?sslmode=disable" for name in DATABASES]
        self.backends = (f"{HOST}:{ports[0]}", f"{HOST}:{network.port}")
        self.addresses = {
            FIRST: self.backends[0],
            SECOND: f"{HOST}:{ports[1]}",
            FRONT: f"{HOST}:{free_port()}",
            SYNC: f"{HOST}:{free_port()}",
        }
        self._config = folder / "snk.toml"
        self._children: dict[str, Child] = {}

    def start(self, name: str) -> None:
        """Start a process; its output goes to a log of its name."""
        zone = {"TZ": clock_ahead(AHEAD)} if name == LAST else {}
        self._children[name] = spawn(
            [sys.executable, "-m", *self._words(name)],
            Path.cwd(),
            self.folder / f"{name}.log",
            None,
            signal.SIGKILL,
            environment={**os.environ, **_PLAIN, **zone},
        )

    async def ready(self, name: str) -> None:
        """Wait until a process that was started answers.

        Raises:
            ServersUnfit: it does not.
        """
        client = BackendClient(self.addresses[name], 1, None)

        async def answers() -> bool:
            if not self._children[name].running:
                raise self._failure(name, "does not start")
            return not await client.alive(1.0)

        try:
            if not await until(answers, START_SECONDS):
                raise self._failure(name, "does not answer")
        finally:
            await client.close()

    def kill(self, name: str) -> None:
        """End a process by SIGKILL."""
        self._children[name].kill()

    async def ended(self, name: str, seconds: float) -> int | None:
        """Wait until a process has ended by itself, and return its exit code; None if it takes longer."""

        async def has_ended() -> bool:
            return not self._children[name].running

        await until(has_ended, seconds)
        return self._children[name].exit_code

    async def stop(self, name: str) -> int | None:
        """Tell a process to stop, and return its exit code."""
        self._children[name].send(signal.SIGTERM)
        return await self.ended(name, STOP_SECONDS)

    def end(self) -> None:
        """End all processes."""
        for child in self._children.values():
            child.kill()

    def last_lines(self, name: str) -> str:
        """What a process said last."""
        return self._children[name].last_lines()

    async def open(self, database: PostgresServer) -> None:
        """Create the databases, write the settings, start the processes, and wait until all answer."""
        self.logs.mkdir()
        self._config.write_text(self._settings())
        server = Server("database", database.dsn)
        async with server.engine.connect() as connection:
            for name in DATABASES:
                await connection.execute(sa.DDL(f"CREATE DATABASE {name}"))  # type: ignore[no-untyped-call]
        for name in (FIRST, SECOND, FRONT, SYNC):
            self.start(name)
        for name in (FIRST, SECOND, FRONT, SYNC):
            await self.ready(name)

    def _words(self, name: str) -> list[str]:
        if name in (FIRST, SECOND):
            url, port = self.urls[name == SECOND], self.addresses[name].rpartition(":")[2]
            return ["snk.handoff.reference", "--database", url, "--port", port]
        words = {FRONT: ["front"], SYNC: ["run"], LAST: ["run", "--once"]}[name]
        return ["snk", "handoff", *words, "--config", str(self._config)]

    def _settings(self) -> str:
        tables: dict[str, dict[str, Any]] = {
            "handoff": {
                "logs": str(self.logs),
                "state": str(self.state),
                "port": int(self.addresses[SYNC].rpartition(":")[2]),
                **SETTINGS,
            },
            "handoff.front": {
                "port": int(self.addresses[FRONT].rpartition(":")[2]),
                "backends": list(self.backends),
            },
        }
        lines = []
        for title, table in tables.items():
            lines += [f"[{title}]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
        return "\n".join(lines) + "\n"

    def _failure(self, name: str, how: str) -> ServersUnfit:
        return ServersUnfit(f"{name} {how}; its log ends with:\n{self.last_lines(name)}")


@contextmanager
def servers() -> Iterator[tuple[Path, PostgresServer]]:
    """A folder and a database server, which are gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="snk-handoff-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)  # the server's account enters it, too
        with held(Path(made)) as folder:
            database = PostgresServer(folder / "database", folder, user="postgres", password=PASSWORD, options=OPTIONS)
            try:
                database.start()
                yield folder, database
            finally:
                end_undisturbed()
                database.stop()


@asynccontextmanager
async def opened(folder: Path, database: PostgresServer) -> AsyncIterator[Stage]:
    """All processes, which end with the block."""
    ports = free_port(), free_port()
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(Proxy(HOST, ports[1]))
        stage = Stage(folder, database, network, ports)
        stack.callback(stage.end)
        await stage.open(database)
        yield stage


async def until(true: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Look until it is true; return whether it became true in time."""
    end = time.monotonic() + seconds
    while not await true():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


def clock_ahead(by: timedelta) -> str:
    """A time zone whose clocks are so much ahead of the local ones; POSIX counts westwards."""
    offset = (datetime.now().astimezone().utcoffset() or timedelta()) + by
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"<ahead>{'-' if offset > timedelta() else '+'}{hours:02}:{minutes:02}"
