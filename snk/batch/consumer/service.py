"""The consumer as a service: answers calls, works on runs and sends reports, until it is told to stop."""

import asyncio
import os
import socket
from uuid import UUID

import structlog

from snk.batch.consumer.application import Doors, Status, application
from snk.batch.consumer.outbox import Outbox
from snk.batch.consumer.provider import Providers
from snk.batch.consumer.settings import Consumer
from snk.batch.consumer.tables import TABLES
from snk.batch.consumer.taking import cancel, take
from snk.batch.consumer.upkeep import keep_up
from snk.batch.consumer.workers import Bounds, Workers
from snk.batch.state import State
from snk.batch.wire import Call, Told
from snk.db.awaited import awaited
from snk.db.catalog import server_facts
from snk.db.pool import Limits, Pool
from snk.errors import DatabaseUnfit
from snk.http.api.counts import Answers
from snk.http.api.entry import Entry, Rates
from snk.http.api.gate import MOST_HEAD_BYTES, Gate
from snk.http.api.protocol import IDLE_SECONDS, kept_protocol
from snk.http.auth.authority import Authority
from snk.http.auth.credentials import Credentials
from snk.http.door import Door
from snk.http.notify import Health, keep_informed
from snk.http.service import Manners, serve_open

WAIT_SECONDS = 30.0
SHORT_CONNECTIONS = 3
"""For calls, leases, reports and health, which work on files never takes away."""
IDLE_SECONDS_OF_WORK = 10.0
"""A consumer that is stopped in a transaction must not lock files for much longer than its lease lasts."""
MERGE_SECONDS = 3600.0
GRACE_SECONDS = 1
LET_GO_SECONDS = 2.0
MOST_BODY_BYTES = 4 * 2**20
CLIENTS = 200
LEAST_SERVER = 160000
"""PostgreSQL 16 is the first that says whether a text is valid for a type."""

log = structlog.get_logger()


class Service:
    """The service.

    Args:
        settings: the table ``[consumer]``.
    """

    def __init__(self, settings: Consumer) -> None:
        self._settings = settings
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._pool = _pool(settings, SHORT_CONNECTIONS, Limits(idle_seconds=IDLE_SECONDS_OF_WORK))
        self._loading = _pool(settings, settings.connections, Limits(MERGE_SECONDS, IDLE_SECONDS_OF_WORK))
        self._providers = Providers(settings.credentials)
        bounds = Bounds(settings.files_at_once, settings.connections, settings.page_rows, settings.lease_seconds)
        self._workers = Workers(self._pool, self._loading, self._providers, bounds)
        self._outbox = Outbox(self._pool, Credentials(settings.for_platform))
        self._answers = Answers()
        self._ready = False

    async def run(self, bound: socket.socket, stop: asyncio.Event) -> None:
        """Serve on a bound socket until ``stop`` is set.

        Raises:
            Stop: the tables are missing, or the server is too old.
        """
        authority = Authority(self._settings.auth)
        informing = asyncio.create_task(keep_informed(stop, lambda: self._ready, self._health))
        try:
            if await awaited(stop, self._check, "no call is taken yet"):
                await self._serve(authority, bound, stop)
        finally:
            stop.set()
            await informing
            await self._let_go()
            await authority.close()
            await self._providers.close()
            await self._loading.close()
            await self._pool.close()

    async def _check(self) -> bool:
        async with self._pool.connection("statement") as connection:
            await TABLES.check(connection, self._pool.address)
            facts = await server_facts(connection)
        if facts.number < LEAST_SERVER:
            raise DatabaseUnfit(f"{self._pool.address} is PostgreSQL {facts.version}", hint="Use 16 or newer")
        return True

    async def _serve(self, authority: Authority, bound: socket.socket, stop: asyncio.Event) -> None:
        settings = self._settings
        doors = Doors(self._take, self._cancel, self._pool.answers, self._status)
        app = application(Entry(authority, Rates(0.0)), doors, closed=settings.auth.closed)
        door = None if settings.auth.closed else Door(None, settings.host)
        gate = Gate(app, "consumer", MOST_BODY_BYTES, door, self._answers)
        manners = Manners(kept_protocol(CLIENTS), MOST_HEAD_BYTES, IDLE_SECONDS, GRACE_SECONDS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._workers.renew(stop))
            group.create_task(keep_up(self._pool, settings.keep_days, stop))
            sending = group.create_task(self._outbox.run(stop))
            self._ready = True
            await serve_open(gate, bound, stop, manners)
            sending.cancel()

    async def _take(self, call: Call) -> Told:
        async with self._pool.begin() as connection:
            taken = await take(connection, call, self._holder, self._settings.lease_seconds)
        if taken.hold:
            log.info("run_taken", run=call.run, task=call.task, fence=call.fence)
            self._workers.begin(taken.hold)
        else:
            self._workers.called(taken.run)
        return taken.told

    async def _cancel(self, task: str, uid: UUID, fence: int) -> State:
        async with self._pool.begin() as connection:
            state = await cancel(connection, task, uid, fence)
        log.info("run_stopped", uid=str(uid), task=task, fence=fence, state=str(state))
        return state

    async def _let_go(self) -> None:
        try:
            async with asyncio.timeout(LET_GO_SECONDS):
                await self._workers.close()
        except TimeoutError:
            log.warning("runs_not_released", effect="they are free when their leases end")

    def _status(self) -> Status:
        ended = {str(state): count for state, count in sorted(self._workers.ended.items())}
        return Status(self._answers, self._workers.runs, ended, self._outbox.sent, self._outbox.given_up)

    def _health(self) -> Health:
        return Health(f"{len(self._workers.runs)} runs, {sum(self._workers.ended.values()):,} files", progressing=True)


def _pool(settings: Consumer, connections: int, limits: Limits) -> Pool:
    return Pool(settings.dsn, connections, WAIT_SECONDS, "snk batch consumer", limits)
