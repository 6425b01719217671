"""HTTP backends for the tests of the hand-off: real servers that answer as a test says, and remember what they got."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from snk.embedded.process import free_port

Answer = web.Response | None
"""None: the connection is cut without an answer."""


@dataclass(frozen=True, slots=True)
class Got:
    """One request that arrived."""

    method: str
    target: str
    body: bytes
    authorization: str | None


@dataclass(eq=False)
class Backend:
    """A backend on a port of its own.

    Attributes:
        says: what it answers; changed at any time.
        alive: whether it says that it is alive.
        got: all writes that arrived, in their order.
        under_way: writes that arrived and are not answered yet.
        most_at_once: the greatest number of these.
    """

    says: Callable[[Got], Answer | Awaitable[Answer]] = lambda _: web.Response()
    alive: bool = True
    got: list[Got] = field(default_factory=list)
    host: str = "127.0.0.1"
    under_way: int = 0
    most_at_once: int = 0
    asked: int = 0
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def name(self) -> str:
        """Its address, as its folder is named."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def targets(self) -> list[str]:
        """The targets of all writes."""
        return [each.target for each in self.got]

    async def start(self) -> None:
        """Listen; after a stop, on the same port."""
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        if not self.port and self.host == "127.0.0.1":
            self.port = free_port()  # which no outgoing connection takes while this is stopped
        site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/status.html":
            self.asked += 1
            return web.Response(text="ok\n" if self.alive else "no\n")
        got = Got(request.method, request.raw_path, await request.read(), request.headers.get("Authorization"))
        self.got.append(got)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            answer = self.says(got)
            if isinstance(answer, Awaitable):
                answer = await answer
        finally:
            self.under_way -= 1
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError
        return answer
