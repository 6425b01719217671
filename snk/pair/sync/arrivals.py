"""Track what arrives in one database, so that rows can wait there for the rows they refer to.

The source enforces its foreign keys, so a snapshot that shows a row also shows the row it refers to. Hence a simple
rule: once the flow of the other table has delivered everything that was visible when a row was read, there is nothing
left to wait for. A row that is still missing then will not arrive without further action.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from snk.errors import ParentMissing

# Rows written by another daemon or by a trigger arrive without a report, so SNK polls for them at these intervals.
GUESSES_SECONDS = (0.01, 0.03, 0.1)
# A flow reports after each step. If a flow that others wait for has not reported for this long, it hangs.
STILL_SECONDS = 2.0
LOOK_SECONDS = 0.25
# A flow under load is never caught up, but its rows keep arriving. After this time, the waiting rows are retried.
AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """How far a flow has come.

    Attributes:
        complete: monotonic time; everything that was visible at the source at that time is delivered.
        at: monotonic time of the flow's last step.
    """

    complete: float
    at: float


class Arrivals:
    """Receives reports from every flow that writes into one database, keyed by the table's name there.

    Attributes:
        count: number of batches that brought rows.
    """

    def __init__(self) -> None:
        self.count = 0
        self._reports: dict[str, Report] = {}
        self._waiting: dict[str, frozenset[str]] = {}
        self._asleep: dict[str, asyncio.Event] = {}
        self._news = asyncio.Event()

    def arrived(self, table: str, complete: float | None, rows: int) -> None:
        """A flow finished a step.

        Args:
            table: its table.
            complete: as in `Report`; None if more rows are known to be waiting at the source.
            rows: how many rows arrived.
        """
        self.count += bool(rows)
        before = self._reports.get(table)
        since = complete if complete is not None else before.complete if before else 0.0
        self._reports[table] = Report(since, time.monotonic())
        if self._waiting:
            self._news.set()
            self._news = asyncio.Event()

    @contextmanager
    def asleep(self, table: str, alarm: asyncio.Event) -> Iterator[None]:
        """Inside the block, a flow is idle, and reports only when it is woken."""
        self._asleep[table] = alarm
        try:
            yield
        finally:
            del self._asleep[table]

    def _rouse(self, tables: Iterable[str]) -> None:
        """Wake idle flows for which others wait; one that does not report soon hangs."""
        for table in tables:
            if alarm := self._asleep.get(table):
                alarm.set()
                self._reports[table] = replace(self._reports[table], at=time.monotonic())

    def ended(self, table: str) -> None:
        """A flow has ended; no other flow waits for it any longer."""
        self._reports.pop(table, None)

    def behind(self, tables: Iterable[str], since: float) -> frozenset[str]:
        """The tables whose flows run here and have not yet delivered what was visible at a monotonic time."""
        return frozenset(table for table in tables if (report := self._reports.get(table)) and report.complete < since)

    def unknown(self, tables: Iterable[str]) -> bool:
        """Whether rows of some of these tables may arrive without a report."""
        return any(table not in self._reports for table in tables)

    async def until_complete(
        self, table: str, parents: frozenset[str], since: float, stopping: Callable[[], bool]
    ) -> bool:
        """Wait until the flows of some tables have delivered what was visible at a monotonic time.

        The wait ends early if one of these flows hangs or itself waits for the caller's table, or on shutdown.

        Returns:
            Whether there is nothing left to wait for; if False, rows have arrived meanwhile that may be enough.
        """
        self._waiting[table] = parents
        self._rouse(self.behind(parents, since))
        again_at, count = time.monotonic() + AGAIN_SECONDS, self.count
        try:
            while (behind := self.behind(parents, since)) and not stopping():
                now = time.monotonic()
                if self._in_circle(table) or any(self._reports[parent].at < now - STILL_SECONDS for parent in behind):
                    return True
                if now > again_at and self.count > count:
                    return False
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            del self._waiting[table]
        return True

    def _in_circle(self, table: str) -> bool:
        """Whether the table waits, directly or indirectly, for a table that waits for it."""
        seen: set[str] = set()
        ahead = list(self._waiting[table])
        while ahead:
            if (parent := ahead.pop()) not in seen:
                seen.add(parent)
                ahead += self._waiting.get(parent, ())
        return table in seen


class Patience:
    """Waits for the rows that the rows of one batch refer to.

    Args:
        arrivals: of the database in which those rows must arrive.
        table: the batch's.
        parents: the tables to which its foreign keys refer.
        read_at: monotonic time when the read of the batch ended.
        stopping: whether the daemon is stopping.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        table: str,
        parents: frozenset[str],
        read_at: float,
        stopping: Callable[[], bool],
    ) -> None:
        self._arrivals = arrivals
        self._table = table
        self._parents = parents
        self._read_at = read_at
        self._stopping = stopping
        self._guesses = iter(GUESSES_SECONDS)
        self._waited = False

    async def __call__(self) -> bool:
        """Wait for some of the rows; return False immediately if waiting can no longer help.

        Raises:
            ParentMissing: the daemon is stopping; the next start reads the rows again.
        """
        if self._stopping():
            raise ParentMissing(f"{self._table}: stopped while rows waited for rows that they refer to")
        if not self._waited and self._arrivals.behind(self._parents, self._read_at):
            arrivals, parents = self._arrivals, self._parents
            self._waited = await arrivals.until_complete(self._table, parents, self._read_at, self._stopping)
            return True
        if self._parents and not self._arrivals.unknown(self._parents):
            return False
        seconds = next(self._guesses, None)
        if seconds is None:
            return False
        await asyncio.sleep(seconds)
        return True
