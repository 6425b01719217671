"""What the demo runs: a database server, a provider, two nodes of the platform and two consumers."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from snk.batch.demo import tables
from snk.batch.demo.script import FILES, Keys, Ports, consumer_table, definitions, platform_table, provider_table
from snk.core.words import counted
from snk.embedded.postgres import PostgresServer
from snk.embedded.process import free_port
from snk.embedded.programs import START_SECONDS, Processes
from snk.embedded.temporary import create_databases, url_of
from snk.errors import ServersUnfit
from snk.http.auth.keys import KeyFolder
from snk.http.client import Client, NoAnswer, Request
from snk.http.origin import Origin

HOST = "127.0.0.1"
PROVIDER = "provider"
NODES, CONSUMERS = ("node-1", "node-2"), ("consumer-1", "consumer-2")
DATABASES = ("provider", "platform", "consumer")
ANSWER_SECONDS = 5.0
OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform answered."""

    status: int
    body: Mapping[str, object]


class Stage:
    """The processes, and the folder with their settings, keys and logs.

    Attributes:
        urls: of the databases, by their names.
        processes: all of them.
        operator: the token of whoever operates the platform.
    """

    def __init__(self, folder: Path, database: PostgresServer) -> None:
        self.urls = {name: url_of(database, name) for name in DATABASES}
        self.processes = Processes(folder)
        self._folder = folder
        self.operator = secrets.token_urlsafe(24)
        self._ports = Ports(
            free_port(), {each: free_port() for each in NODES}, {each: free_port() for each in CONSUMERS}
        )
        self._keys = Keys(folder / "platform-keys", folder / "consumer-keys")

    @property
    def pages(self) -> str:
        """Where a node shows its pages."""
        return f"http://{HOST}:{self._ports.platforms[NODES[0]]}"

    async def open(self, rows: int, tell: Callable[[str], None]) -> None:
        """Make keys and tables, and start everything; tell what is done."""
        tell(f"the provider's {len(FILES)} tables are filled with {counted(rows, 'record')} each")
        for name, keys in (("batch", self._keys.platform), ("batch consumer", self._keys.consumer)):
            KeyFolder(keys, "ES256", name).rotate(time.time())
        for database in ("provider", "consumer"):
            await tables.create(self.urls[database])
        await tables.fill(self.urls["provider"], rows)
        self._write()
        tell("the tables of the platform and of the consumers are made, and the tasks applied")
        once = {"init-platform": ["init"], "init-consumer": ["consumer", "init"]}
        for name, words in once.items():
            await self._once(name, words, CONSUMERS[0] if "consumer" in words else NODES[0])
        await self._once("apply", ["apply", self._folder / "tasks.toml", "--yes"], NODES[0])
        started = (PROVIDER, *NODES, *CONSUMERS)
        tell(f"{', '.join(started)} start")
        for name in started:
            self.start(name)
        for name in started:
            await self.ready(name)

    def start(self, name: str) -> None:
        """Start a process, for the first time or again."""
        words = {PROVIDER: ["serve"], **{each: ["batch", "platform", "--name", each] for each in NODES}}
        self.processes.start(name, ["snk", *words.get(name, ["batch", "consumer"]), "--config", self._file(name)])

    async def ready(self, name: str) -> None:
        """Wait until a process that was started answers.

        Raises:
            ServersUnfit: it does not.
        """

        async def answers() -> bool:
            try:
                return (await _send(self._port(name), Request("GET", "/health"))).status == OK
            except NoAnswer:
                return False

        await self.processes.ready(name, answers)

    async def ask(self, node: str, path: str, body: Mapping[str, object], key: str = "") -> Answer:
        """Send something to the platform's API.

        Args:
            node: which one.
            path: of the request.
            body: what is sent.
            key: the Idempotency-Key.
        """
        headers = [("Content-Type", "application/json"), ("Authorization", f"Bearer {self.operator}")]
        if key:
            headers.append(("Idempotency-Key", f'"{key}"'))
        return await _send(self._ports.platforms[node], Request("POST", path, orjson.dumps(body), tuple(headers)))

    async def _once(self, name: str, words: Sequence[str | Path], of: str) -> None:
        self.processes.start(name, ["snk", "batch", *words, "--config", self._file(of)])
        if await self.processes.ended(name, START_SECONDS) != 0:
            raise self.processes.failure(name, "failed")

    def _write(self) -> None:
        """Write all settings."""
        keys = self._keys
        self._file(PROVIDER).write_text(provider_table(self.urls["provider"], self._ports.provider, keys))
        for name, port in self._ports.platforms.items():
            self._file(name).write_text(platform_table(self.urls["platform"], port, keys, self.operator))
        for name in self._ports.consumers:
            self._file(name).write_text(consumer_table(self.urls["consumer"], name, self._ports, keys))
        (self._folder / "tasks.toml").write_text(definitions(self._ports))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.toml"

    def _port(self, name: str) -> int:
        return {PROVIDER: self._ports.provider, **self._ports.platforms, **self._ports.consumers}[name]


async def _send(port: int, request: Request) -> Answer:
    client = Client(Origin("http", HOST, port), 1, {})
    try:
        answer = await client.send(request, ANSWER_SECONDS)
    finally:
        await client.close()
    try:
        return Answer(answer.status, orjson.loads(answer.body))
    except orjson.JSONDecodeError:
        raise ServersUnfit(f"{request.target} was answered with {answer.status}: {answer.text}") from None


@asynccontextmanager
async def opened(
    folder: Path, database: PostgresServer, rows: int, tell: Callable[[str], None]
) -> AsyncIterator[Stage]:
    """Everything runs as long as the block, with so many records in each table of the provider.

    Args:
        folder: for settings, keys and logs.
        database: a server for all databases.
        rows: how many records each table has.
        tell: is told what is done until then, which takes some seconds.
    """
    await create_databases(database, DATABASES)
    stage = Stage(folder, database)
    try:
        await stage.open(rows, tell)
        yield stage
    finally:
        stage.processes.end()
