"""What arrives in one database, so that rows wait there for those to which they refer.

The source enforces its foreign keys, so whoever sees a row there also sees the one to which it refers. Hence a simple
rule: once the flow of the other table has delivered everything that was visible when a row was read, there is nothing
left to wait for. Whatever is still missing then will not come by itself.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from snk.errors import ParentMissing

# Nobody tells when rows arrive that another daemon brings, or that a trigger makes.
GUESSES_SECONDS = (0.01, 0.03, 0.1)
# A flow that is awaited reports with each of its steps. One that does not hangs itself.
STILL_SECONDS = 2.0
LOOK_SECONDS = 0.25
# A flow under load never has delivered all that was visible, but its rows come all the time.
AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """How far a flow has come.

    Attributes:
        complete: monotonic time; all that was visible at the source then is delivered.
        at: monotonic time of its last step.
    """

    complete: float
    at: float


class Arrivals:
    """Told by every flow that leads into one database, by the name of its table there.

    Attributes:
        count: of batches that brought rows.
    """

    def __init__(self) -> None:
        self.count = 0
        self._reports: dict[str, Report] = {}
        self._waiting: dict[str, frozenset[str]] = {}
        self._news = asyncio.Event()

    def arrived(self, table: str, complete: float | None, rows: int) -> None:
        """A flow finished a step.

        Args:
            table: its table.
            complete: as in `Report`; None where more is known to be there.
            rows: how many came.
        """
        self.count += bool(rows)
        before = self._reports.get(table)
        since = complete if complete is not None else before.complete if before else 0.0
        self._reports[table] = Report(since, time.monotonic())
        if self._waiting:
            self._news.set()
            self._news = asyncio.Event()

    def ended(self, table: str) -> None:
        """A flow does not run any more: nobody is to wait for it."""
        self._reports.pop(table, None)

    def behind(self, tables: Iterable[str], since: float) -> frozenset[str]:
        """Those tables whose flows run here and have yet to deliver what was visible at a monotonic time."""
        return frozenset(table for table in tables if (report := self._reports.get(table)) and report.complete < since)

    def unknown(self, tables: Iterable[str]) -> bool:
        """Whether rows of some of these tables may come without a report."""
        return any(table not in self._reports for table in tables)

    async def until_complete(
        self, table: str, parents: frozenset[str], since: float, stopping: Callable[[], bool]
    ) -> bool:
        """Wait until the flows of some tables have delivered what was visible at a monotonic time.

        It ends sooner where one of them hangs, or waits itself for the one that asks, and where it is time to stop.

        Returns:
            Whether there is nothing left to wait for; if not, rows have arrived meanwhile that may be enough.
        """
        self._waiting[table] = parents
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
        """Whether somebody for whom a table waits waits for that table."""
        seen: set[str] = set()
        ahead = list(self._waiting[table])
        while ahead:
            if (parent := ahead.pop()) not in seen:
                seen.add(parent)
                ahead += self._waiting.get(parent, ())
        return table in seen


class Patience:
    """Waits for the rows to which those of one batch refer.

    Args:
        arrivals: of the database where they are to be.
        table: the batch's.
        parents: the tables to which its foreign keys refer.
        read_at: monotonic time when the batch had been read.
        stopping: whether it is time to stop.
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
        """Wait for some of them; False, at once, where that is of no use any more.

        Raises:
            ParentMissing: it is time to stop; the next start reads the rows again.
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
