"""Sends reports to the platform until it has them.

A report is put into the outbox by the transaction that changes what it reports, so none is lost. Only the newest one of
a run is kept. Of several consumers that share a database, one sends it; if that one dies, another one does. The
platform takes a report that comes twice as one.
"""

import asyncio
import random
from typing import NamedTuple

import orjson
import sqlalchemy as sa
import structlog
from yarl import URL

from snk.batch.consumer.tables import NOW, OUTBOX, RUN
from snk.batch.consumer.work import cleaned
from snk.core.backoff import Backoff
from snk.db.functions import interval
from snk.db.pool import Pool
from snk.errors import SettingsError, SnkError
from snk.http.auth.credentials import Credentials
from snk.http.client import Clients, NoAnswer, Request
from snk.log import Reminder
from snk.pause import pause

AT_ONCE = 20
SEND_SECONDS = 20.0
CLAIM_SECONDS = 2 * SEND_SECONDS
"""After which another consumer sends what one has taken: it died, as sending takes less."""
LOOK_SECONDS = 0.5
FIRST_SECONDS, MOST_SECONDS = 0.5, 60.0
TAKEN = (200, 202)
LATER = (401, 403, 408, 429)
"""Refusals that a person can end: credentials are wrong, or too much is asked at once."""
REFUSED, FAILED = 400, 500

log = structlog.get_logger()


class Report(NamedTuple):
    """A report to be sent."""

    run: int
    number: int
    version: int
    callback: str
    report: dict[str, object]
    tries: int


class Outbox:
    """Sends what is in the outbox.

    Attributes:
        sent: how many reports were acknowledged.
        given_up: how many were refused for good.
    """

    def __init__(self, pool: Pool, credentials: Credentials) -> None:
        self.sent = 0
        self.given_up = 0
        self._pool = pool
        self._credentials = credentials
        self._clients = Clients(AT_ONCE)
        self._reminder = Reminder()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop`` is set; what is not acknowledged by then is sent later."""
        reminder = Reminder()
        try:
            while not stop.is_set():
                try:
                    found = await self._claim()
                    await asyncio.gather(*(self._send(each) for each in found))
                    reminder.over()
                except SnkError as error:
                    found = []
                    if reminder.due(str(error)):
                        log.warning("outbox_waits", reason=str(error), effect="reports are sent later")
                await pause(stop, 0.0 if len(found) == AT_ONCE else LOOK_SECONDS)
        finally:
            await self._clients.close()

    async def _claim(self) -> list[Report]:
        due = sa.select(OUTBOX.c.run).where(OUTBOX.c.due_at <= NOW).order_by(OUTBOX.c.due_at).limit(AT_ONCE)
        chosen = due.with_for_update(skip_locked=True).cte("chosen")
        number = sa.select(RUN.c.number).where(RUN.c.id == OUTBOX.c.run).correlate(OUTBOX).scalar_subquery()
        columns = (OUTBOX.c.run, number, OUTBOX.c.version, OUTBOX.c.callback, OUTBOX.c.report, OUTBOX.c.tries)
        taken = sa.update(OUTBOX).where(OUTBOX.c.run == chosen.c.run).values(due_at=NOW + interval(CLAIM_SECONDS))
        async with self._pool.connection("statement") as connection:
            return [Report(*row) for row in await connection.execute(taken.returning(*columns))]

    async def _send(self, one: Report) -> None:
        status, words = await self._post(one)
        mine = sa.and_(OUTBOX.c.run == one.run, OUTBOX.c.version == one.version)
        done: sa.Executable = sa.delete(OUTBOX).where(mine)
        if status in TAKEN:
            self.sent += 1
            self._reminder.over()
        elif REFUSED <= status < FAILED and status not in LATER:
            self.given_up += 1
            log.warning("report_refused", run=one.number, reason=words, effect="it is not sent again")
        else:
            backoff = Backoff(FIRST_SECONDS, MOST_SECONDS, one.tries)
            seconds = backoff.wait_seconds(random.random())  # noqa: S311 - jitter
            values = {"tries": one.tries + 1, "reason": cleaned(words), "due_at": NOW + interval(seconds)}
            done = sa.update(OUTBOX).where(mine).values(values)
            if self._reminder.due(words):
                log.warning("report_not_sent", run=one.number, reason=words, effect="it is sent again")
        async with self._pool.connection("statement") as connection:
            await connection.execute(done)

    async def _post(self, one: Report) -> tuple[int, str]:
        """The status of the answer, 0 if there is none, and what it says."""
        try:
            url = URL(one.callback)
            headers = [("Content-Type", "application/json")]
            allowed = self._credentials.allowed(url)
            if allowed and (authorization := self._credentials.header()):
                headers.append(("Authorization", authorization))
            request = Request("POST", url.raw_path_qs, orjson.dumps(one.report), tuple(headers))
            answered = await self._clients.of(url).send(request, SEND_SECONDS)
        except (NoAnswer, SettingsError, ValueError) as error:
            return 0, str(error)
        words = f"{url.origin()} answers {answered.status}: {answered.text}"
        return answered.status, words if allowed else f"{words}; consumer.credentials.platform.for does not name it"
