"""The service: looks up the tables, answers requests, and deletes old keys, until it is told to stop."""

import asyncio
import socket

import structlog
from fastapi import FastAPI

from snk.db.awaited import awaited
from snk.errors import DatabaseUnfit, SnkError
from snk.http.api.entry import Entry, Rates
from snk.http.api.gate import MOST_HEAD_BYTES, Gate
from snk.http.api.problem import Problem
from snk.http.api.protocol import IDLE_SECONDS, kept_protocol
from snk.http.auth.authority import Authority
from snk.http.door import Door
from snk.http.notify import Health, keep_informed
from snk.http.service import Manners, serve_open
from snk.log import Reminder
from snk.pause import pause
from snk.serve.answered import KEYS, PORTION_ROWS, Answered, exists
from snk.serve.application import Pages, application
from snk.serve.counts import Counts
from snk.serve.database import Database
from snk.serve.endpoints import Endpoints
from snk.serve.settings import Serve
from snk.serve.status import Status, add_pages
from snk.serve.table import Dataset, look_up
from snk.serve.writing import Writing

GRACE_SECONDS = 3
UPKEEP_SECONDS = 60.0

log = structlog.get_logger()


class Service:
    """The service.

    Args:
        settings: the table ``[serve]``.
    """

    def __init__(self, settings: Serve) -> None:
        self._settings = settings
        self._database = Database(settings.dsn, settings.connections, settings.wait_ms / 1000)
        self._answered = Answered(settings.key_hours)
        self._authority = Authority(settings.auth)
        self._counts = Counts()
        self._ready = False
        self._reachable = True

    async def run(self, bound: socket.socket, stop: asyncio.Event) -> None:
        """Serve on a bound socket until ``stop`` is set.

        Raises:
            Stop: a table, a column or the table of keys is missing.
        """
        informing = asyncio.create_task(keep_informed(stop, lambda: self._ready, self._health))
        try:
            found = await awaited(stop, self._look_up, "nothing is served yet")
            if found is not None:
                await self._serve(found, bound, stop)
        finally:
            stop.set()
            await informing
            await self._authority.close()
            await self._database.close()

    async def _look_up(self) -> list[Dataset]:
        async with self._database.connection("statement") as connection:
            given = self._settings.datasets
            found = [await look_up(connection, name, each) for name, each in given.items()]
            if any(each.write for each in found) and not await exists(connection):
                raise DatabaseUnfit(f"There is no table {KEYS.fullname}", hint="Run `snk serve init`")
            return found

    async def _serve(self, found: list[Dataset], bound: socket.socket, stop: asyncio.Event) -> None:
        settings = self._settings
        writing = Writing(self._database, self._answered)
        endpoints = {each.name: Endpoints(each, self._database, writing, self._counts) for each in found}
        entry = Entry(self._authority, Rates(settings.requests_per_second))
        pages = Pages(settings.page_rows, settings.page_rows_max)
        app: FastAPI = application(endpoints, entry, pages, docs=settings.docs, closed=settings.auth.closed)
        add_pages(app, self._database, entry, self._status)
        door = None if settings.auth.closed else Door(None, settings.host)
        gate = Gate(app, "serve", settings.body_bytes_max, door, self._counts.answers)
        manners = Manners(kept_protocol(settings.clients), MOST_HEAD_BYTES, IDLE_SECONDS, GRACE_SECONDS)
        async with asyncio.TaskGroup() as group:
            group.create_task(serve_open(gate, bound, stop, manners))
            group.create_task(self._upkeep(stop, keys=any(each.write for each in found)))
            self._ready = True

    async def _upkeep(self, stop: asyncio.Event, *, keys: bool) -> None:
        """Delete keys that are not kept any longer, in small portions, and notice whether the database answers."""
        reminder = Reminder()
        while not stop.is_set():
            deleted = 0
            try:
                async with self._database.connection("statement") as connection:
                    deleted = await self._answered.forget(connection) if keys else 0
                self._reachable = True
                reminder.over()
            except Problem:
                log.debug("upkeep_postponed", reason="all connections are in use")
            except SnkError as error:
                self._reachable = False
                if reminder.due(str(error)):
                    log.warning("database_unreachable", reason=str(error), effect="requests are answered with 503")
            await pause(stop, 0.0 if deleted == PORTION_ROWS else UPKEEP_SECONDS)

    def _status(self) -> Status:
        return Status(self._counts, self._settings.connections, self._database.in_use, tuple(self._settings.datasets))

    def _health(self) -> Health:
        served = sum(self._counts.answers.given.values())
        summary = f"{served:,} answers" if self._reachable else "the database does not answer"
        return Health(summary, progressing=True)
