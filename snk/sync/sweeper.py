"""Now and then both sides of a table are compared as a whole, and what tailing could not see is brought over.

Tailing cannot see a row whose id was drawn in an earlier transaction than the one that inserted it, nor one whose id
was set by hand below the mark, nor what a fail-over took back. `snk.verify.sweep` finds such rows, sparing the servers
and passing over what is under way; the flows bring them by their names, like any other row: fenced, noted, set aside
where they are refused.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from snk.core.report import SweepStatus
from snk.db.engine import Server
from snk.db.rejects import recorded
from snk.errors import SnkError
from snk.sync.flow import Flow, pause
from snk.verify.sweep import Swept, sweep

FIRST_SECONDS = 30.0
AGAIN_SECONDS = 10.0
LOOK_SECONDS = 0.5
LAG_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a table is swept, and with how much of a processor on each side.

    Attributes:
        every_seconds: from the end of a sweep to the next; 0 for never.
        share: of one processor.
        settle_seconds: what differs for so long is not under way.
    """

    every_seconds: float = 300.0
    share: float = 0.2
    settle_seconds: float = 5.0


class Sweeper:
    """Sweeps one table while this daemon works on it."""

    def __init__(self, first: Server, second: Server, table: str, flows: Sequence[Flow], pace: Pace) -> None:
        self._servers = (first, second)
        self._table = table
        self._there, self._back = flows
        self._pace = pace
        self._state: str = "off" if not pace.every_seconds else "waiting"
        self._proven_at: float | None = None
        self._marks = (0, 0)
        self._rows = 0
        self._found = 0
        self._aside = 0
        self._seconds: float | None = None
        self._error = ""
        self._doubt = asyncio.Event()
        for flow in flows:
            flow.doubt = self._doubt

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until ``stop`` is set; at once where a flow has reason to doubt its mark."""
        if not self._pace.every_seconds:
            return
        wait = min(FIRST_SECONDS, self._pace.every_seconds)
        while not stop.is_set():
            await self._rest(wait, stop)
            await self._until_caught_up(stop)
            if stop.is_set():
                return
            self._doubt.clear()
            self._state = "running"
            try:
                found = await self._sweep()
            except SnkError as error:
                self._error = str(error)
                log.warning("sweep_failed", table=self._table, error=str(error))
                wait = min(AGAIN_SECONDS, self._pace.every_seconds)
            else:
                wait = min(AGAIN_SECONDS, self._pace.every_seconds) if found else self._pace.every_seconds
            self._state = "waiting"

    def status(self) -> SweepStatus:
        """What the sweeps of this table have shown."""
        return SweepStatus(
            table=self._table,
            state=self._state,
            proven_seconds=None if self._proven_at is None else time.monotonic() - self._proven_at,
            up_to_first=self._marks[0],
            up_to_second=self._marks[1],
            rows=self._rows,
            found=self._found,
            set_aside=self._aside,
            seconds=self._seconds,
            error=self._error,
        )

    async def _rest(self, seconds: float, stop: asyncio.Event) -> None:
        until = time.monotonic() + seconds
        while not stop.is_set() and not self._doubt.is_set() and time.monotonic() < until:
            await pause(stop, min(LOOK_SECONDS, until - time.monotonic()))

    async def _until_caught_up(self, stop: asyncio.Event) -> None:
        """Rows that wait for their turn are no differences."""
        while not stop.is_set() and not all(_caught_up(flow) for flow in (self._there, self._back)):
            await pause(stop, LOOK_SECONDS)

    async def _sweep(self) -> int:
        """Sweep once, and have the flows bring what is missing.

        Returns:
            How many rows were found that nobody knew of.
        """
        began = time.monotonic()
        marks = (self._there.meter.status().high, self._back.meter.status().high)
        pace = self._pace
        swept = await sweep(*self._servers, self._table, share=pace.share, settle_seconds=pace.settle_seconds)
        missing = [
            await self._unknown(flow, server, names)
            for flow, server, names in (
                (self._there, self._servers[1], (*swept.only_in_first, *swept.different)),
                (self._back, self._servers[0], swept.only_in_second),
            )
        ]
        found = sum(map(len, missing))
        self._error, self._seconds, self._rows = "", swept.seconds, max(swept.rows)
        self._aside = _differing(swept) - found
        self._found += found
        if found == 0 and swept.complete:
            self._proven_at, self._marks = began, marks
        log.info("table_swept", table=self._table, rows=swept.rows, found=found, seconds=round(swept.seconds, 1))
        return found

    async def _unknown(self, flow: Flow, destination: Server, uuids: Sequence[str]) -> list[str]:
        """Those that are not set aside or recorded as conflicts already; the flow is to bring them."""
        if not uuids:
            return []
        async with destination.connect() as connection:
            known = await recorded(connection, uuids)
        unknown = [uuid for uuid in uuids if uuid not in known]
        if unknown:
            log.warning("rows_missed", **flow.meter.names, rows=len(unknown), first=unknown[0])
            flow.want(unknown)
        return unknown


def _differing(swept: Swept) -> int:
    return len(swept.only_in_first) + len(swept.only_in_second) + len(swept.different)


def _caught_up(flow: Flow) -> bool:
    status = flow.meter.status()
    return status.state == "running" and status.lag_seconds < LAG_SECONDS
