"""A backend for tests and the demo: hustdb's interface, over PostgreSQL.

A transaction for each request would wait for the disk each time. So those that arrive within a few milliseconds, or
while a transaction is under way, are applied together in the order of their arrival, and answered when that is on disk.
"""

import argparse
import asyncio
import hmac
import time
from base64 import b64encode
from collections import Counter
from pathlib import Path

import structlog
import uvloop
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from snk.handoff.asked import Asked, Refused, asked
from snk.handoff.reference_data import Data, Reply
from snk.log import configure_log
from snk.signals import when_told_to_stop

MOST_BODY = 64 * 2**20
MOST_KEY = 2000
"""Bytes; an index of PostgreSQL takes no more."""
COLLECT_SECONDS = 0.002
"""How long the first request of a transaction waits for others."""
MOST_AT_ONCE = 500
"""Requests that one transaction applies."""
ALIVE = "/status.html"

log = structlog.get_logger()


class Backend:
    """The backend.

    Args:
        database: the URL of its own database.
        authorization: ``user:password``, which every request must present; None if none must.

    Attributes:
        address: where it listens, while it does.
        requests: how many requests came, by path.
        answers: how many answers were given, by status.
    """

    def __init__(self, database: str, authorization: str | None = None) -> None:
        self.address = ""
        self.requests: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self._data = Data(database)
        self._expected = b"Basic " + b64encode(authorization.encode()) if authorization else None
        self._queue: asyncio.Queue[tuple[Asked, asyncio.Future[Reply]]] = asyncio.Queue()
        self._applying: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on this port of the local host; 0 is any free one."""
        await self._data.open()
        application = web.Application(client_max_size=MOST_BODY)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, bound = self._runner.addresses[0][:2]
        self.address = f"{host}:{bound}"
        self._applying = asyncio.create_task(self._apply())

    async def stop(self) -> None:
        """Finish what is under way, and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._applying is not None:
            self._applying.cancel()
            await asyncio.wait((self._applying,))
        await self._data.close()

    async def digest(self) -> str:
        """A check sum of all data that are there."""
        return await self._data.digest()

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        answer = await self._response(request)
        self.answers[answer.status] += 1
        return answer

    async def _response(self, request: web.Request) -> web.Response:
        if request.path == ALIVE and request.method == "GET":
            return web.Response(text="ok\n")
        if not self._knows(request.headers.get("Authorization", "")):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="hustdb"'})
        body = await request.read()
        try:
            wanted = asked(request.method, request.raw_path, body, time.time())
        except Refused as error:
            return web.Response(status=error.status, text=f"{error}\n")
        if len(wanted.record.key) > MOST_KEY:
            return web.Response(status=400, text=f"the key has more than {MOST_KEY} bytes\n")
        reply = await self._applied(wanted)
        headers = {} if reply.version is None else {"Version": str(reply.version)}
        return web.Response(status=reply.status, headers=headers | ({"VerError": "true"} if reply.stale else {}))

    def _knows(self, authorization: str) -> bool:
        given = authorization.encode(errors="surrogateescape")
        return self._expected is None or hmac.compare_digest(given, self._expected)

    async def _applied(self, wanted: Asked) -> Reply:
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((wanted, answered))
        return await answered

    async def _apply(self) -> None:
        """Apply requests for ever."""
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(COLLECT_SECONDS)
            while len(batch) < MOST_AT_ONCE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                replies = await self._data.apply([wanted for wanted, _ in batch])
            except (SQLAlchemyError, OSError) as error:
                log.warning("database_failed", error=str(error), effect=f"{len(batch)} requests get 503")
                replies = [Reply(503)] * len(batch)
            for (_, answered), reply in zip(batch, replies, strict=True):
                if not answered.done():
                    answered.set_result(reply)


async def _serve(database: str, port: int, authorization: str | None) -> None:
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    backend = Backend(database, authorization)
    try:
        await backend.start(port)
        log.info("backend_listening", address=backend.address)
        await stop.wait()
    finally:
        await backend.stop()


def main() -> None:
    """Run a backend until told to stop."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--database", required=True, help="the URL of its own PostgreSQL database")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--auth-file", type=Path, help="a file with one line, user:password, for all requests")
    given = parser.parse_args()
    configure_log("console", "info")
    authorization = given.auth_file.read_text().strip() if given.auth_file else None
    uvloop.run(_serve(given.database, given.port, authorization))


if __name__ == "__main__":
    main()
