"""The front: takes hustdb's writes, sends each to all backends, and logs what one of them missed.

A write counts as written when one backend has it and the logs of all others do. So a backend that is down costs nobody
an error: the sync server replays its log when it is back. If no backend is known to have the write, it is an error; if
one of them may have it nevertheless, the write goes into the logs of all, so that they become equal whatever happened.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from snk.errors import LogFull
from snk.handoff.asked import Refused, asked
from snk.handoff.client import BackendClient
from snk.handoff.codecs.hustdb import LOGGED_AS_SENT, HustdbWrite, KeyForm, percent_encoded
from snk.handoff.log import Log
from snk.handoff.member import SLOTS, Member, Verdict
from snk.handoff.record import Record
from snk.http.client import NoAnswer, Request
from snk.log import Reminder

LOG_THREADS = 16
"""So many writes share one wait for the disk."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SyncServer:
    """Where the status service of the sync server is, and what it asks for."""

    address: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Options:
    """How a front works.

    Attributes:
        authorization: user:password for the backends.
        timeout_seconds: for an answer of a backend.
        skip_seconds: how long a backend that fails is left alone.
        key_form: how keys are logged.
        tls: whether backends are reached by https.
        most_body: how many bytes a body may have; the line of a longer one would be too long.
    """

    authorization: str | None = field(default=None, repr=False)
    timeout_seconds: float = 2.0
    skip_seconds: float = 1.0
    key_form: KeyForm = "raw"
    tls: bool = False
    most_body: int = 8 * 2**20


class Front:
    """The front.

    Args:
        backends: two or more, each a host and a port.
        missed: the logs.
        sync: the sync server.
        options: how it works.
    """

    def __init__(
        self, backends: Sequence[str], missed: Log[HustdbWrite], sync: SyncServer, options: Options | None = None
    ) -> None:
        self._backends = backends
        self._missed = missed
        self._sync = sync
        self._options = options or Options()
        self._threads = ThreadPoolExecutor(LOG_THREADS, "log")
        self._reminder = Reminder()
        self._members: list[Member] = []
        self._clients: list[BackendClient] = []
        self._runner: web.AppRunner | None = None

    async def start(self, bound: socket.socket) -> None:
        """Listen on a bound socket."""
        given = self._options
        clients = [BackendClient(name, SLOTS, given.authorization, tls=given.tls) for name in self._backends]
        self._members = [Member(client, given.timeout_seconds, given.skip_seconds) for client in clients]
        self._status = BackendClient(self._sync.address, SLOTS, f"{self._sync.user}:{self._sync.password}")
        self._clients = [*clients, self._status]
        application = web.Application(client_max_size=given.most_body)
        application.router.add_get("/status.html", _alive)
        application.router.add_get("/sync_alive", self._sync_alive)
        application.router.add_get("/sync_status", self._sync_status)
        application.router.add_route("*", "/{path:.*}", self._write)
        patience = 2 * given.timeout_seconds + 1
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=patience)
        await self._runner.setup()
        await web.SockSite(self._runner, bound).start()

    async def stop(self) -> None:
        """Finish what is under way, and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
        for client in self._clients:
            await client.close()
        self._threads.shutdown()

    async def _write(self, request: web.Request) -> web.Response:
        body, now = await request.read(), time.time()
        try:
            record = asked(request.method, request.raw_path, body, now, copy=True).record
        except Refused as error:
            return web.Response(status=error.status, text=f"{error}\n")
        write = self._write_of(record)
        wanted = write.request(now)
        assert wanted is not None  # noqa: S101 - its time to live has just begun
        # A backend that is back may get this write before older ones of the key are replayed from its log. That is
        # harmless: each write brings its version, and the backend refuses the older ones.
        verdicts = await asyncio.gather(*(member.send(wanted, removes=write.removes) for member in self._members))
        if any(verdict.state == "done" for verdict in verdicts):
            return await self._taken(write, verdicts)
        return await self._not_taken(write, verdicts)

    def _write_of(self, record: Record) -> HustdbWrite:
        if self._options.key_form == "wire" and record.method in LOGGED_AS_SENT:
            record = record._replace(key=percent_encoded(record.key).encode())
        return HustdbWrite(record, self._options.key_form)

    async def _taken(self, write: HustdbWrite, verdicts: Sequence[Verdict]) -> web.Response:
        """At least one backend has it. One that refused it gets it as well, and so it becomes a visible dead letter."""
        both = list(zip(self._backends, verdicts, strict=True))
        missing = [name for name, verdict in both if verdict.state != "done"]
        if why := await self._log(missing, write):
            return web.Response(status=503, text=f"written, but not everywhere: {why}\n")
        headers = next((verdict.versions for verdict in verdicts if verdict.versions), {})
        return web.Response(headers=headers | ({"Sync": ",".join(missing)} if missing else {}))

    async def _not_taken(self, write: HustdbWrite, verdicts: Sequence[Verdict]) -> web.Response:
        if any(verdict.state == "unknown" for verdict in verdicts):
            if why := await self._log(self._backends, write):
                return web.Response(status=503, text=f"perhaps written, and perhaps not everywhere: {why}\n")
            return web.Response(status=502, text="perhaps written; if so, it will be everywhere\n")
        answers = [verdict for verdict in verdicts if verdict.status]
        if answers and all(verdict.state == "refused" for verdict in answers):
            return web.Response(status=answers[0].status or 502, text="refused\n")
        return web.Response(status=502, text="not written: no backend took it\n")

    async def _log(self, backends: Sequence[str], write: HustdbWrite) -> str:
        """Log a write for these backends, and return when it is on disk; if it cannot be logged, say why."""
        loop = asyncio.get_running_loop()
        writing = [loop.run_in_executor(self._threads, self._missed.write, name, write) for name in backends]
        for failure in await asyncio.gather(*writing, return_exceptions=True):
            if isinstance(failure, LogFull | OSError):
                if self._reminder.due(type(failure).__name__):
                    log.error("log_unwritable", reason=str(failure), effect="writes that a backend misses get 503")
                return f"the log cannot be written: {failure}"
            if failure:
                raise failure
        self._reminder.over()
        return ""

    async def _sync_alive(self, _: web.Request) -> web.Response:
        """Whether the sync server is alive."""
        why = await self._status.alive(self._options.timeout_seconds)
        return web.Response(status=404, text=f"{why}\n") if why else web.Response(text="ok\n")

    async def _sync_status(self, _: web.Request) -> web.Response:
        """What the sync server has done."""
        wanted = Request("GET", f"/sync_status?backend_count={len(self._backends)}")
        try:
            answer = await self._status.send(wanted, self._options.timeout_seconds)
        except NoAnswer as error:
            return web.Response(status=404, text=f"{error}\n")
        if answer.status != 200:  # noqa: PLR2004
            return web.Response(status=404, text=f"it answers {answer.status}\n")
        return web.Response(body=answer.body, content_type="application/json")


async def _alive(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")
