"""What the demo runs: a database server, `snk serve` twice behind a network that can fail, and the pipeline."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from snk.embedded.postgres import PostgresServer
from snk.embedded.process import free_port
from snk.embedded.programs import START_SECONDS, Processes
from snk.embedded.proxy import Proxy
from snk.embedded.temporary import create_databases, url_of
from snk.http.client import Client, NoAnswer, Request
from snk.http.origin import Origin
from snk.pipeline.demo import tables
from snk.pipeline.demo.script import Script, pipeline_table, serve_table
from snk.pipeline.report import told
from snk.pipeline.space import Space

HOST = "127.0.0.1"
SS, RS, PULL, PUSH, VERIFY = "sending-server", "receiving-server", "pull", "push", "verify"
DATABASES = {SS: "sending", RS: "receiving"}
HEALTH_SECONDS = 1.0
UNLIMITED = 100_000.0
"""Requests per second."""
OK = 200


@dataclass(frozen=True, slots=True)
class End:
    """One of both servers.

    Attributes:
        name: of its process.
        url: of its database.
        port: where it listens.
        network: through which the pipeline reaches it.
    """

    name: str
    url: str
    port: int
    network: Proxy

    @property
    def dataset(self) -> str:
        """Where the pipeline finds the table."""
        return f"http://{HOST}:{self.network.port}/v1/{tables.NAME}"

    async def answers(self) -> bool:
        """Whether it is healthy, as one sees who asks it directly."""
        client = Client(Origin("http", HOST, self.port), 1, {})
        try:
            return (await client.send(Request("GET", "/health"), HEALTH_SECONDS)).status == OK
        except NoAnswer:
            return False
        finally:
            await client.close()


class Stage:
    """The processes, and the folder with their settings, spaces and logs.

    Attributes:
        ends: both servers, by name.
        processes: all of them.
    """

    def __init__(self, folder: Path, ends: dict[str, End]) -> None:
        self.ends = ends
        self.processes = Processes(folder)
        self._folder = folder

    @property
    def config(self) -> Path:
        """The file of settings of the pipeline."""
        return self._folder / "pipeline.toml"

    async def open(self) -> None:
        """Create the tables and start both servers."""
        for name, end in self.ends.items():
            self._file(name).write_text(serve_table(end.url, end.port))
            await tables.create(end.url)
            self.processes.start(name, ["snk", "serve", "init", "--config", self._file(name)])
        for name in self.ends:
            if await self.processes.ended(name, START_SECONDS) != 0:
                raise self.processes.failure(name, "cannot create its own table")
            self.start(name)
        for name in self.ends:
            await self.ready(name)

    def space(self, script: Script) -> Space:
        """Both spaces of the pipeline."""
        return Space(self._folder / "space", script.grid)

    async def begin(self, script: Script) -> None:
        """Start the pipeline."""
        self._configure(script)
        for name in (PULL, PUSH):
            self.start(name)
        for name in (PULL, PUSH):
            await self.ready(name)

    def start(self, name: str) -> None:
        """Start a process, for the first time or again."""
        if name in self.ends:
            self.processes.start(name, ["snk", "serve", "--config", self._file(name)])
        else:
            self.processes.start(name, ["snk", "pipeline", name, "--config", self.config])

    async def ready(self, name: str) -> None:
        """Wait until a process that was started works.

        Raises:
            ServersUnfit: it does not.
        """

        async def tells() -> bool:
            own = self._folder / "space" / ("sss" if name == PULL else "rss")
            return told(own).pid == self.processes.pid(name)

        await self.processes.ready(name, self.ends[name].answers if name in self.ends else tells)

    async def verify(self, script: Script, seconds: float) -> tuple[int | None, str]:
        """Run ``snk pipeline verify`` up to the last frame; return its exit code, and the last line that it printed.

        Nobody else needs the servers now, so it may ask as often as it can.
        """
        self._configure(replace(script, per_second=UNLIMITED))
        end = script.grid.iso(script.frames)
        self.processes.start(VERIFY, ["snk", "pipeline", "verify", "--json", "--to", end, "--config", self.config])
        code = await self.processes.ended(VERIFY, seconds)
        return code, self.processes.last_lines(VERIFY).rpartition("\n")[2]

    def _configure(self, script: Script) -> None:
        """Write the settings of the pipeline."""
        source, sink = (self.ends[name].dataset for name in (SS, RS))
        self.config.write_text(pipeline_table(script, self.space(script).root, source, sink))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.toml"


@asynccontextmanager
async def opened(folder: Path, database: PostgresServer) -> AsyncIterator[Stage]:
    """Both servers, which end with the block, and so does all that is started later."""
    async with AsyncExitStack() as stack:
        ends = {}
        await create_databases(database, DATABASES.values())
        for name, each in DATABASES.items():
            port = free_port()
            network = await stack.enter_async_context(Proxy(HOST, port))
            ends[name] = End(name, url_of(database, each), port, network)
        stage = Stage(folder, ends)
        stack.callback(stage.processes.end)
        await stage.open()
        yield stage
