"""`snk serve` as a process, on a database of its own or on any other one."""

import asyncio
import json
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import aiohttp

from snk.db.server import Server
from snk.embedded.process import free_port
from snk.http.service import Address, listening
from snk.pair.servers import EmbeddedPair
from snk.serve.answered import prepare
from snk.serve.service import Service
from snk.serve.settings import load_settings
from tests.conftest import names, psql
from tests.kit.commands import Command, run_command, start_command
from tests.kit.databases import DEADLINE_SECONDS, Database, until

START_SECONDS = 60.0
RECORDS = "create table records (uid text primary key, created_at timestamptz not null, value integer)"
CREATED = "create index on records (created_at)"
COLUMNS = ["uid", "created_at", "value"]
DATASET: dict[str, Any] = {
    "table": "public.records",
    "key": "uid",
    "time": "created_at",
    "read": COLUMNS,
    "write": COLUMNS,
}


@contextmanager
def fresh_database(servers: EmbeddedPair) -> Iterator[str]:
    """The URL of an empty database on the first of the shared servers."""
    name = next(names)
    psql(servers.first, f"create database {name}")
    try:
        yield servers.first.dsn.removesuffix("postgres") + name
    finally:
        psql(servers.first, f"drop database {name} with (force)")


class ServeProcess:
    """``snk serve`` against one database; as a context manager it leaves nothing running.

    Args:
        dsn: the URL of the database.
        datasets: the tables ``[serve.datasets.NAME]``; without them, ``records`` as in `DATASET`.
        auth: the table ``[serve.auth]``.
        settings: others of the table ``[serve]``.
    """

    def __init__(
        self,
        dsn: str,
        datasets: Mapping[str, Mapping[str, Any]] | None = None,
        auth: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.dsn = dsn
        self._folder = tempfile.TemporaryDirectory(prefix="snk-serve-")
        self.folder = Path(self._folder.name)
        self.port = settings.pop("port", None) or free_port()
        self.config = self.folder / "snk.toml"
        tables = {f"serve.datasets.{name}": each for name, each in (datasets or {"records": DATASET}).items()}
        serve = {"database": dsn, "port": self.port, **settings}
        lines = [*_table("serve", serve), *(line for name, each in tables.items() for line in _table(name, each))]
        self.config.write_text("\n".join([*lines, *_table("serve.auth", auth or {})]) + "\n")
        self._process: Command | None = None

    def __enter__(self) -> Self:
        """Create the table of keys, and start."""
        # The caller's loop is running, and a process of its own takes a second to start.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, prepare(Server("database", self.dsn))).result()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()
        self.forget()

    def forget(self) -> None:
        """Delete its files."""
        self._folder.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, without waiting until it answers."""
        words = ("serve", "--config", str(self.config))
        self._process = start_command(*words, log=self.folder / "log", folder=self.folder)

    def snk(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command of ``snk serve`` with the same settings to its end."""
        return run_command("serve", *words, "--config", str(self.config), folder=self.folder)

    def kill(self) -> None:
        """SIGKILL, at whatever it is doing."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Ask it to stop, and return its exit code."""
        assert self._process
        self._process.send_signal(how)
        return self._process.wait(DEADLINE_SECONDS)

    async def until_answering(self) -> None:
        """Wait until it answers."""

        async def answering() -> bool:
            assert self.running, self.log
            try:
                async with aiohttp.ClientSession() as session, session.get(f"{self.url}/health") as answer:
                    return answer.status == 200
            except (aiohttp.ClientError, OSError):
                return False

        await until(answering, "the service to answer", START_SECONDS)


class Wire:
    """A connection on which a client says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str, limit: int = 2**16) -> "Wire":
        """Connect."""
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=limit))

    async def say(self, text: bytes) -> None:
        """Send something."""
        self.writer.write(text)
        await self.writer.drain()

    async def status(self) -> int:
        """Read an answer's head and return its status."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])

    async def close(self) -> None:
        """End it, whatever was not sent."""
        self.writer.transport.abort()
        with suppress(ConnectionError, BrokenPipeError):
            await self.writer.wait_closed()

    async def ended(self) -> None:
        """Wait until the service has ended the connection."""
        try:
            async with asyncio.timeout(60):
                while await self.reader.read(2**16):
                    pass
        except ConnectionError:
            pass


Connect = Callable[..., Awaitable[Wire]]


@asynccontextmanager
async def connecting() -> AsyncIterator[Connect]:
    """Makes connections, which are closed at the end."""
    wires: list[Wire] = []

    async def connect(url: str, limit: int = 2**16) -> Wire:
        wires.append(await Wire.to(url, limit))
        return wires[-1]

    try:
        yield connect
    finally:
        for wire in wires:
            await wire.close()


@asynccontextmanager
async def in_this_process(dsn: str, **settings: Any) -> AsyncIterator[str]:
    """A service of ``records`` in this process, whose constants a test may patch; yields its URL."""
    process = ServeProcess(dsn, **settings)
    stop = asyncio.Event()
    await prepare(Server("database", dsn))
    with listening(Address("127.0.0.1", process.port), guarded=True) as bound:
        task = asyncio.create_task(Service(load_settings(process.config)).run(bound, stop))
        try:

            async def listens() -> bool:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", process.port)
                except OSError:
                    return False
                writer.close()
                return True

            await until(listens, "the service to listen", START_SECONDS)
            yield process.url
        finally:
            stop.set()
            await task
            process.forget()


async def prepared(dsn: str, *statements: str) -> Database:
    """The database with these tables, or with `RECORDS`."""
    database = Database(dsn)
    await database.run(*(statements or (RECORDS, CREATED)))
    return database


def _table(name: str, given: Mapping[str, Any]) -> list[str]:
    """A table of TOML; a list of tables below it is written after it."""
    plain = {key: value for key, value in given.items() if not _is_list_of_tables(value)}
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in plain.items())]
    for key in given.keys() - plain.keys():
        for each in given[key]:
            lines += [f"[[{name}.{key}]]", *(f"{inner} = {json.dumps(value)}" for inner, value in each.items())]
    return lines


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
