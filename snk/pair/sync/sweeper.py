"""Compares both sides of a whole table at intervals, and has the flows deliver what tailing could not see.

Tailing cannot see a row whose id was drawn in an earlier transaction than its insert, a row whose id was set by hand
below the mark, or rows that a fail-over undid. `snk.pair.verify.sweep` finds such rows; it limits the load on the
servers and ignores rows in transit. The flows deliver them by uuid, like any other row: with the same fence and dedup
entries, and setting refused rows aside.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import structlog

from snk.db.lender import Lender, Lent
from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.core.report import Asked, SweepStatus
from snk.pair.schema.own import Conflict, Rejected
from snk.pair.schema.sweeps import Owed, Sweeps
from snk.pair.sync.facts import TableFacts
from snk.pair.sync.flow import Flow
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.table.rejects import recorded
from snk.pair.verify.search import Kind
from snk.pair.verify.sweep import DIGEST, sweep
from snk.pair.verify.throttle import Throttles
from snk.pair.verify.whole import MOST_TABLES, WholeDigests
from snk.pause import pause

FIRST_SECONDS = 30.0
SPACING_SECONDS = 1.0
AGAIN_SECONDS = 10.0
LOOK_SECONDS = 0.5
NEVER = float("inf")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SweepMeans:
    """How sweeps reach both servers.

    Attributes:
        doors: to both, for as long as a sweep takes.
        wholes: compares small tables whole, many in one statement.
        facts: for single statements, by the server's label.
        throttles: the throttle of each server's sweeps, by its label.
        numbers: each table gets the next one.
    """

    doors: tuple[Lender, Lender]
    wholes: WholeDigests
    facts: Mapping[str, TableFacts]
    throttles: Throttles
    numbers: Iterator[int] = field(default_factory=count)


class Sweeper:
    """Sweeps one table while this daemon holds its lease."""

    def __init__(
        self, flows: tuple[Flow, Flow], schedule: SweepSchedule, means: SweepMeans, sweep_due: asyncio.Event
    ) -> None:
        self._there, self._back = flows
        self._servers = (self._there.route.source, self._there.route.destination)
        self._means = means
        self._table = self._there.route.table
        self._schedule = schedule
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
        self._progress: float | None = None
        self._asked = self._working = False
        self._answer: Asked | None = None

    def hurry(self) -> bool:
        """Sweep as soon as the flows have caught up; return whether this daemon sweeps the table at all."""
        if self._working:
            self._asked, self._answer = True, Asked()
            self._sweep_due.set()
        return self._working

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until ``stop`` is set; run an owed sweep (`snk.pair.schema.sweeps`) at once, even if sweeps are off."""
        first_seconds = min(FIRST_SECONDS, self._every_seconds) if self._schedule.every_seconds else NEVER
        if first_seconds != NEVER:  # hundreds of tables are swept a few at a time, not all at once
            number = next(self._means.numbers)
            first_seconds += (number - number % MOST_TABLES) * SPACING_SECONDS % self._every_seconds
        next_at = time.monotonic() + first_seconds
        self._sweep_due.set()  # a previous daemon may have left a sweep owed
        self._working = True
        try:
            while not stop.is_set():
                await self._rest(next_at)
                await self._until_caught_up(stop)
                if stop.is_set():
                    return
                next_at = await self._due(next_at)
        finally:
            self._working = self._asked = False
            self._answer = None

    async def _due(self, next_at: float) -> float:
        """Sweep if it is owed, asked for, or due by now; return when the next one is due."""
        self._sweep_due.clear()
        asked, self._asked = self._asked, False
        try:
            accesses = await self._accesses()
            owed = await self._owed(accesses)
            if owed or asked or time.monotonic() >= next_at:
                proven = await self._sweep(owed, accesses)
                wait = self._every_seconds if proven else min(AGAIN_SECONDS, self._every_seconds)
                next_at = time.monotonic() + wait
        except SnkError as error:
            self._answers(state="failed")
            self._error = str(error)
            log.warning("sweep_failed", table=self._table, error=str(error))
            await self._until_asked(AGAIN_SECONDS)
            self._asked = self._asked or asked
            self._sweep_due.set()
        return next_at

    def status(self) -> SweepStatus:
        """Return the results of the sweeps of this table."""
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
            progress=self._progress,
            asked=self._answer,
        )

    def _answers(self, **changes: Any) -> None:
        """Change what became of the comparison that was asked for, until it is made; a newer one has yet to begin."""
        if self._answer and self._answer.state != "equal" and not self._asked:
            self._answer = replace(self._answer, **changes)

    async def _rest(self, until: float) -> None:
        """Wait until a sweep is due or owed; the job cancels this task when it stops."""
        seconds = None if until == NEVER else until - time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._sweep_due.wait()

    async def _until_asked(self, most_seconds: float) -> None:
        """Wait before the next try, but not if somebody asks for it; the job cancels this task when it stops."""
        if not self._asked:
            self._sweep_due.clear()
            await self._rest(time.monotonic() + most_seconds)

    async def _until_caught_up(self, stop: asyncio.Event) -> None:
        """Wait for the flows: rows that await delivery, also those that an earlier sweep found, are not differences."""
        while not stop.is_set() and not (self._there.caught_up and self._back.caught_up):
            await pause(stop, LOOK_SECONDS)

    async def _accesses(self) -> tuple[Lent, Lent]:
        """Access to both servers, in the boots in which they are now."""
        first, second = [await Lent.of(self._means.facts[server.label].lender) for server in self._servers]
        return first, second

    async def _owed(self, accesses: Sequence[Lent]) -> dict[Server, Owed]:
        """Return the sides on which a sweep is owed."""
        found: dict[Server, Owed] = {}
        for access in accesses:
            facts = self._means.facts[access.server.label]
            if owed := await facts.owed(access, await self._full_name(access)):
                found[access.server] = owed
        return found

    async def _settle(self, owed: Mapping[Server, Owed], accesses: Sequence[Lent]) -> None:
        """Settle the sweeps that were owed before both sides were proven equal.

        First flush the rows that were delivered by uuid: a crash would undo them without moving a mark back, so nothing
        would deliver them again. For the same reason this is refused after a restart since the sweep began.
        """
        if not owed:
            return
        kept = {access.server: Sweeps(access, await self._full_name(access)) for access in accesses}
        for sweeps in kept.values():
            await sweeps.flush()
        for server, what in owed.items():
            await kept[server].settle(what)

    async def _full_name(self, access: Lent) -> str:
        return await self._means.facts[access.server.label].full_name(access, self._table) or self._table

    async def _sweep(self, owed: Mapping[Server, Owed], accesses: Sequence[Lent]) -> bool:
        """Sweep once, and have the flows deliver what is missing.

        Args:
            owed: the sweeps, owed before this one began, to settle if it proves both sides equal.
            accesses: to both servers, since before it began.

        Returns:
            Whether both sides are proven equal, except for known differences.
        """
        self._state = "running"
        self._answers(state="running")
        try:
            for server, what in owed.items():
                log.info("sweep_owed", table=self._table, side=server.label, reason=what.reason)
            proven = await self._compare()
            if proven:
                await self._settle(owed, accesses)
            return proven
        finally:
            self._state, self._progress = self._resting, None

    async def _compare(self) -> bool:
        began = time.monotonic()
        marks = (self._there.high, self._back.high)
        proven = await self._are_equal_wholes() or await self._compare_alone()
        if proven:
            self._proven_at, self._marks = began, marks
        self._answers(state="equal" if proven else "different")
        return proven

    async def _are_equal_wholes(self) -> bool:
        """Whether the table is small, and both sides of it are equal."""
        began = time.monotonic()
        rows = await self._means.wholes.equal(self._table)
        if rows is None:
            return False
        self._compared(rows, time.monotonic() - began)
        log.debug("table_equal", table=self._table, rows=rows)
        return True

    async def _compare_alone(self) -> bool:
        swept = await sweep(
            *self._means.doors,
            self._table,
            throttles=self._means.throttles,
            settle_seconds=self._schedule.settle_seconds,
            excuse=self._excuse,
            tell=self._tell,
        )
        found = self._request(self._there, swept.only_in_first) + self._request(self._back, swept.only_in_second)
        self._there.requested.add(swept.different)  # the flow records them as conflicts
        self._compared(max(swept.rows), swept.seconds, swept.excused)
        self._found += found
        if (asked := self._answer) and asked.state != "equal":  # also of a sweep that ran when it was asked for
            different = asked.different + len(swept.different)
            self._answer = replace(asked, missing=asked.missing + found, different=different)
        log.info("table_swept", table=self._table, rows=swept.rows, found=found, seconds=round(swept.seconds, 1))
        return swept.complete and not (swept.only_in_first or swept.only_in_second or swept.different)

    def _tell(self, what: str, done: int, of: int) -> None:
        if what == DIGEST:
            self._progress = done / of

    def _compared(self, rows: int, seconds: float, aside: int = 0) -> None:
        self._error, self._rows, self._seconds, self._aside = "", rows, seconds, aside

    def _request(self, flow: Flow, uuids: Sequence[str]) -> int:
        """Have a flow deliver these rows; return how many were not requested already."""
        new = flow.requested.add(uuids)
        if new:
            log.warning("rows_missed", **flow.route.labels, rows=new, first=uuids[0])
        return new

    async def _excuse(self, suspects: dict[str, Kind]) -> frozenset[str]:
        """Return rows that are set aside on the side that lacks them, and differing rows recorded as conflicts.

        A differing row is set aside if one of its two versions cannot be read.
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
                access = await Lent.of(self._means.facts[server.label].lender)
                name = await self._full_name(access)
                async with access.using("read") as connection:
                    excused |= await recorded(connection, record, name, named)
        return excused
