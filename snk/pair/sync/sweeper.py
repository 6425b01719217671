"""Now and then both sides of a table are compared as a whole, and what tailing could not see is brought over.

Tailing cannot see a row whose id was drawn in an earlier transaction than the one that inserted it, nor one whose id
was set by hand below the mark, nor what a fail-over took back. `snk.pair.verify.sweep` finds such rows, sparing the
servers and passing over what is under way; the flows bring them by their names, like any other row: fenced, noted, set
aside where they are refused.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog

from snk.db import catalog
from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.core.report import SweepStatus
from snk.pair.schema.own import Conflict, Rejected
from snk.pair.schema.sweeps import Owed, Sweeps
from snk.pair.sync.flow import Flow
from snk.pair.sync.pause import pause
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.table.rejects import recorded
from snk.pair.verify.search import Kind
from snk.pair.verify.sweep import sweep
from snk.pair.verify.throttle import Throttles

FIRST_SECONDS = 30.0
AGAIN_SECONDS = 10.0
LOOK_SECONDS = 0.5
NEVER = float("inf")

log = structlog.get_logger()


class Sweeper:
    """Sweeps one table while this daemon works on it."""

    def __init__(
        self, flows: tuple[Flow, Flow], schedule: SweepSchedule, throttles: Throttles, sweep_due: asyncio.Event
    ) -> None:
        self._there, self._back = flows
        self._servers = (self._there.route.source, self._there.route.destination)
        self._table = self._there.route.table
        self._schedule = schedule
        self._throttles = throttles
        self._every_seconds = schedule.every_seconds or NEVER
        self._state = self._resting = "waiting" if schedule.every_seconds else "off"
        self._proven_at: float | None = None
        self._marks = (0, 0)
        self._rows = 0
        self._found = 0
        self._aside = 0
        self._seconds: float | None = None
        self._error = ""
        self._sweep_due = sweep_due

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until ``stop`` is set; at once where one is owed (`snk.pair.schema.sweeps`), even if sweeps are off."""
        first_seconds = min(FIRST_SECONDS, self._every_seconds) if self._schedule.every_seconds else NEVER
        next_at = time.monotonic() + first_seconds
        self._sweep_due.set()  # whoever worked here before may have left something
        while not stop.is_set():
            await self._rest(next_at, stop)
            await self._until_caught_up(stop)
            if stop.is_set():
                return
            self._sweep_due.clear()
            try:
                owed = await self._owed()
                if owed or time.monotonic() >= next_at:
                    proven = await self._sweep(owed)
                    wait = self._every_seconds if proven else min(AGAIN_SECONDS, self._every_seconds)
                    next_at = time.monotonic() + wait
            except SnkError as error:
                self._sweep_due.set()
                self._error = str(error)
                log.warning("sweep_failed", table=self._table, error=str(error))
                await pause(stop, AGAIN_SECONDS)

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

    async def _rest(self, until: float, stop: asyncio.Event) -> None:
        while not stop.is_set() and not self._sweep_due.is_set() and time.monotonic() < until:
            await pause(stop, min(LOOK_SECONDS, until - time.monotonic()))

    async def _until_caught_up(self, stop: asyncio.Event) -> None:
        """Rows that wait for their turn are no differences, nor are those that an earlier sweep found."""
        while not stop.is_set() and not (self._there.caught_up and self._back.caught_up):
            await pause(stop, LOOK_SECONDS)

    async def _owed(self) -> dict[Server, Owed]:
        """The sides on which a sweep is owed."""
        found: dict[Server, Owed] = {}
        for server in self._servers:
            async with self._sweeps(server) as sweeps:
                if owed := await sweeps.owed():
                    found[server] = owed
        return found

    async def _settle(self, owed: Mapping[Server, Owed]) -> None:
        """Settle what was owed before both sides were proven equal.

        Rows that were brought by name are to be on disk before: no mark goes back with them in a crash, and who would
        have them brought again?
        """
        for server in self._servers if owed else ():
            async with self._sweeps(server) as sweeps:
                await sweeps.flush()
        for server, what in owed.items():
            async with self._sweeps(server) as sweeps:
                await sweeps.settle(what)

    @asynccontextmanager
    async def _sweeps(self, server: Server) -> AsyncIterator[Sweeps]:
        async with server.connect() as connection:
            name = await catalog.full_name(connection, self._table) or self._table
            yield Sweeps(server, connection, name)

    async def _sweep(self, owed: Mapping[Server, Owed]) -> bool:
        """Sweep once, and have the flows bring what is missing.

        Args:
            owed: the sweeps that this one settles, if it proves both sides equal: they were owed before it began.

        Returns:
            Whether both sides are proven equal, but for what is known to differ.
        """
        self._state = "running"
        try:
            for server, what in owed.items():
                log.info("sweep_owed", table=self._table, side=server.label, reason=what.reason)
            proven = await self._compare()
            if proven:
                await self._settle(owed)
            return proven
        finally:
            self._state = self._resting

    async def _compare(self) -> bool:
        began = time.monotonic()
        marks = (self._there.high, self._back.high)
        settle_seconds = self._schedule.settle_seconds
        swept = await sweep(
            *self._servers, self._table, throttles=self._throttles, settle_seconds=settle_seconds, excuse=self._excuse
        )
        found = self._request(self._there, swept.only_in_first) + self._request(self._back, swept.only_in_second)
        self._there.requested.add(swept.different)  # to be recorded as conflicts
        self._error, self._seconds, self._rows = "", swept.seconds, max(swept.rows)
        self._aside = swept.excused
        self._found += found
        log.info("table_swept", table=self._table, rows=swept.rows, found=found, seconds=round(swept.seconds, 1))
        proven = swept.complete and not (swept.only_in_first or swept.only_in_second or swept.different)
        if proven:
            self._proven_at, self._marks = began, marks
        return proven

    def _request(self, flow: Flow, uuids: Sequence[str]) -> int:
        """Have a flow bring these rows; how many of them it did not know of."""
        new = flow.requested.add(uuids)
        if new:
            log.warning("rows_missed", **flow.route.labels, rows=new, first=uuids[0])
        return new

    async def _excuse(self, suspects: dict[str, Kind]) -> frozenset[str]:
        """Rows that are set aside on the side that lacks them, and rows that differ and are recorded as conflicts.

        A row that differs is set aside where one of the two cannot be read.
        """
        first, second = self._servers
        records: tuple[tuple[Server, Kind, type[Rejected | Conflict]], ...] = (
            (first, "only_in_second", Rejected),
            (first, "different", Conflict),
            (first, "different", Rejected),
            (second, "only_in_first", Rejected),
            (second, "different", Conflict),
            (second, "different", Rejected),
        )
        excused: frozenset[str] = frozenset()
        for server, kind, record in records:
            if named := [uuid for uuid, found in suspects.items() if found == kind]:
                async with server.connect() as connection:
                    name = await catalog.full_name(connection, self._table) or self._table
                    excused |= await recorded(connection, record, name, named)
        return excused
