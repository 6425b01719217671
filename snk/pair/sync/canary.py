"""A heartbeat through SNK itself: the absence of errors does not prove health, an arriving row does.

Every few seconds, a row is inserted into a table of SNK's schema on each side. Two ordinary flows copy it to the other
side like any row. How long that takes is the lag that ``health`` uses.
"""

import asyncio
import time
from collections.abc import Callable
from uuid import uuid4

import sqlalchemy as sa

from snk.db.functions import interval
from snk.db.lender import Lender, Lent
from snk.errors import SnkError
from snk.pair.core.report import CanaryStatus
from snk.pair.schema.own import Canary
from snk.pause import pause

LOOK_SECONDS = 0.01
KEPT_SECONDS = 3600.0
# A canary is late after three intervals, but never earlier than this.
LATE_SECONDS = 10.0
LATE_INTERVALS = 3


class CanaryProbe:
    """Sends canaries in one direction."""

    def __init__(self, source: Lender, destination: Lender, every_seconds: float) -> None:
        self._ends = (source, destination)
        self._every_seconds = every_seconds
        self._trip: float | None = None
        self._landed_at = time.monotonic()
        self._error = ""

    async def run(self, stop: asyncio.Event, active: Callable[[], bool]) -> None:
        """Send one canary after another until ``stop`` is set, but only while ``active`` returns true."""
        while not stop.is_set():
            if not active():
                self._landed_at = time.monotonic()
                await pause(stop, self._every_seconds)
                continue
            try:
                await self._send(stop)
                self._error = ""
            except SnkError as error:
                self._error = str(error)
            await pause(stop, self._every_seconds)

    def status(self) -> CanaryStatus:
        """The result of the latest canary."""
        now = time.monotonic()
        landed = now - self._landed_at
        return CanaryStatus(
            source=self._ends[0].server.label,
            destination=self._ends[1].server.label,
            trip_seconds=self._trip,
            landed_seconds=landed,
            late=landed > self._late_seconds,
            error=self._error,
        )

    @property
    def _late_seconds(self) -> float:
        return max(LATE_SECONDS, LATE_INTERVALS * self._every_seconds)

    async def _send(self, stop: asyncio.Event) -> None:
        here, there = [await Lent.of(end) for end in self._ends]
        name = str(uuid4())
        async with here.using() as connection:
            await connection.execute(sa.insert(Canary).values(uuid=name))
        began = time.monotonic()
        while not await _has(there, name):
            if stop.is_set() or time.monotonic() - began > self._late_seconds:
                return  # a crash may have undone its commit
            await asyncio.sleep(max(LOOK_SECONDS, (time.monotonic() - began) / 20))
        self._landed_at = time.monotonic()
        self._trip = self._landed_at - began
        old = Canary.sent_at < sa.func.now() - interval(KEPT_SECONDS)
        async with here.using() as connection:
            await connection.execute(sa.delete(Canary).where(old))


async def _has(access: Lent, name: str) -> bool:
    async with access.using() as connection:
        return bool((await connection.execute(sa.select(sa.exists().where(Canary.uuid == name)))).scalar_one())
