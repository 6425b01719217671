"""What the demo runs: a database server, and two backends, a front and a sync server as processes of their own."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from snk.embedded.postgres import PostgresServer
from snk.embedded.process import free_port
from snk.embedded.programs import Processes
from snk.embedded.proxy import Proxy
from snk.embedded.temporary import create_databases, url_of
from snk.handoff.client import BackendClient

HOST = "127.0.0.1"
DATABASES = ("first", "second")
FIRST, SECOND, FRONT, SYNC, LAST = "backend-1", "backend-2", "front", "sync-server", "last-run"
LAST_SECONDS = 30.0
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


class Stage:
    """The processes and the folder that they share.

    Attributes:
        urls: of the databases of both backends.
        network: in front of the second backend.
        backends: the addresses by which the front and the sync server know them.
        processes: all of them.
    """

    def __init__(self, folder: Path, database: PostgresServer, network: Proxy, ports: tuple[int, int]) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.state = folder / "state"
        self.network = network
        self.urls = [url_of(database, name) for name in DATABASES]
        self.backends = (f"{HOST}:{ports[0]}", f"{HOST}:{network.port}")
        self.addresses = {
            FIRST: self.backends[0],
            SECOND: f"{HOST}:{ports[1]}",
            FRONT: f"{HOST}:{free_port()}",
            SYNC: f"{HOST}:{free_port()}",
        }
        self._config = folder / "snk.toml"
        self.processes = Processes(folder)

    def start(self, name: str) -> None:
        """Start a process, for the first time or again."""
        self.processes.start(name, self._words(name), {"TZ": clock_ahead(AHEAD)} if name == LAST else None)

    async def ready(self, name: str) -> None:
        """Wait until a process that was started answers.

        Raises:
            ServersUnfit: it does not.
        """
        client = BackendClient(self.addresses[name], 1, None)

        async def answers() -> bool:
            return not await client.alive(1.0)

        try:
            await self.processes.ready(name, answers)
        finally:
            await client.close()

    async def open(self, database: PostgresServer) -> None:
        """Create the databases, write the settings, start the processes, and wait until all answer."""
        self.logs.mkdir()
        self._config.write_text(self._settings())
        await create_databases(database, DATABASES)
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


@asynccontextmanager
async def opened(folder: Path, database: PostgresServer) -> AsyncIterator[Stage]:
    """All processes, which end with the block."""
    ports = free_port(), free_port()
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(Proxy(HOST, ports[1]))
        stage = Stage(folder, database, network, ports)
        stack.callback(stage.processes.end)
        await stage.open(database)
        yield stage


def clock_ahead(by: timedelta) -> str:
    """A time zone whose clocks are so much ahead of the local ones; POSIX counts westwards."""
    offset = (datetime.now().astimezone().utcoffset() or timedelta()) + by
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"<ahead>{'-' if offset > timedelta() else '+'}{hours:02}:{minutes:02}"
