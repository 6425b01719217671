"""Servers inside a test that answer over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from aiohttp import web

from snk.embedded.process import free_port

MOST_BODY_BYTES = 2**20
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Served(Protocol):
    """What answers.

    Attributes:
        port: where; 0 until it has served for the first time.
    """

    port: int

    def handle(self, request: web.Request, /) -> Any:
        """Answer a request."""


async def opened(
    port: int, method: str, path: str, handle: Handle, most_body_bytes: int = MOST_BODY_BYTES
) -> web.AppRunner:
    """Serve one path on a port, 0 for any, until the runner is cleaned up.

    No outgoing connection takes such a port while it is not served.
    """
    app = web.Application(client_max_size=most_body_bytes)
    app.router.add_route(method, path, handle)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port or free_port(), reuse_address=True).start()
    return runner


@asynccontextmanager
async def serving(
    served: Served, method: str, path: str, most_body_bytes: int = MOST_BODY_BYTES
) -> AsyncIterator[None]:
    """Serve one path on a port of its own; on the same one as before if it served already."""
    runner = await opened(served.port, method, path, served.handle, most_body_bytes)
    served.port = served.port or runner.addresses[0][1]
    try:
        yield
    finally:
        await runner.cleanup()
