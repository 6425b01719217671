"""A TCP proxy before a real server, with verbs for what networks do to connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK_BYTES = 65536


@dataclass(eq=False)
class Line:
    """One connection through the proxy: what the client has, and what the server has."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    silent: bool = False  # the server's answers to this client are lost
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        for end in (self.client, self.server):
            if end:
                end.transport.abort()


class Proxy:
    """Forwards connections to one server.

    Attributes:
        dsn: the server's URL, by way of the proxy.
        taken: how many connections it took.
    """

    def __init__(self, dsn: str) -> None:
        self.move(dsn)
        self.dsn = dsn
        self.taken = 0
        self._lines: set[Line] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._delay_seconds = 0.0
        self._on_client: Callable[[Line, bytes], bool] | None = None

    def cut(self) -> None:
        """Reset every connection."""
        for line in set(self._lines):
            line.cut()

    def hold(self) -> None:
        """From now on no byte passes, in either direction; connections are taken, and nobody closes any."""
        self._open.clear()

    def release(self) -> None:
        """Let bytes pass again."""
        self._open.set()

    def forget(self) -> None:
        """As a firewall that forgot its connections: those of now are dead, and nobody is told; new ones work."""
        for line in self._lines:
            for task in line.tasks:
                task.cancel()

    def refuse(self, *, refusing: bool = True) -> None:
        """Reset new connections at once."""
        self._refusing = refusing

    def move(self, dsn: str) -> None:
        """Forward new connections to another server; those of now stay where they are."""
        self._there = urlsplit(dsn)

    def delay(self, seconds: float) -> None:
        """Keep whatever the server says for so long."""
        self._delay_seconds = seconds

    def when_sent(self, *patterns: bytes, pass_on: bool, then: str) -> asyncio.Event:
        """Once, when one client has sent all patterns in turn: pass the last on or not, then ``cut`` or ``swallow``.

        To swallow is to lose every answer on that connection from now on.

        Returns:
            Set when it happened.
        """
        happened = asyncio.Event()
        left: dict[Line, list[bytes]] = {}

        def on_client(line: Line, data: bytes) -> bool:
            wanted = left.setdefault(line, list(patterns))
            if wanted[0] not in data:
                return True
            wanted.pop(0)
            if wanted:
                return True
            self._on_client = None
            if then == "swallow":
                line.silent = True
            if pass_on and line.server:
                line.server.write(data)
            if then == "cut":
                # What was passed on is in the socket already, unless the server is slower than this.
                line.client.transport.abort()
                if line.server:
                    line.server.close()
            happened.set()
            return False

        self._on_client = on_client
        return happened

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(writer)
        self.taken += 1
        self._lines.add(line)
        try:
            if self._refusing:
                return
            await self._open.wait()
            from_server, line.server = await asyncio.open_connection(self._there.hostname, self._there.port)
            line.tasks = {
                asyncio.create_task(self._pump(line, reader, line.server, self._upwards)),
                asyncio.create_task(self._pump(line, from_server, writer, self._downwards)),
            }
            done, _ = await asyncio.wait(line.tasks, return_when=asyncio.FIRST_COMPLETED)
            if any(task.cancelled() for task in done):
                await asyncio.Event().wait()  # forgotten: dead, but not closed
        except OSError:
            pass
        finally:
            for task in line.tasks:
                task.cancel()
            line.cut()
            self._lines.discard(line)

    async def _pump(
        self,
        line: Line,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[Line, bytes], bool],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._open.wait()
                if passes == self._downwards and self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                if passes(line, data):
                    writer.write(data)
                    await writer.drain()

    def _upwards(self, line: Line, data: bytes) -> bool:
        return self._on_client is None or self._on_client(line, data)

    def _downwards(self, line: Line, _: bytes) -> bool:
        return not line.silent


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy before the server of a URL."""
    proxy = Proxy(dsn)
    tasks: set[asyncio.Task[None]] = set()

    def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy._take(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(taken, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    proxy.dsn = dsn.replace(f":{proxy._there.port}", f":{port}")
    try:
        yield proxy
    finally:
        listening.close()
        for task in set(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
