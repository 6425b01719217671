"""Handles rows that refer to rows of other flows: they wait, or are retried when other rows have arrived."""

from collections.abc import Callable
from dataclasses import dataclass

from snk.pair.sync.arrivals import Arrivals, Patience

FIRST_SECONDS = 0.01
MOST_SECONDS = 5.0
ATTENTIVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the destination.

    Attributes:
        name: its full name.
        parents: the full names of the tables that its foreign keys refer to.
    """

    name: str
    parents: frozenset[str] = frozenset()


class Referred:
    """What one session knows about the rows that its own rows refer to.

    A row that was set aside because a referenced row was missing is retried when rows have arrived in any table of the
    destination. While no retry succeeds and no more rows are set aside, the wait between retries grows up to
    `MOST_SECONDS`.

    Attributes:
        table: the table that this session writes.

    Args:
        arrivals: the arrivals in the destination.
        table: the table that this session writes.
        hopeful: number of rows set aside for this reason (`snk.pair.table.rejects.Aside`).
        stopping: returns whether it is time to stop.
    """

    def __init__(self, arrivals: Arrivals, table: Table, hopeful: int, stopping: Callable[[], bool]) -> None:
        self._arrivals = arrivals
        self.table = table
        self._hopeful = hopeful
        self._stopping = stopping
        self._tried = hopeful
        self._seen = -1
        self._wait_seconds = 0.0
        self._tried_at = self._grown_at = float("-inf")

    def arrived(self, complete: float | None, rows: int) -> None:
        """Report a step of this session: see `Arrivals.arrived`."""
        self._arrivals.arrived(self.table.name, complete, rows)

    def patience(self, read_at: float) -> Patience:
        """Return what waits for the rows that a batch refers to, given when its read ended."""
        return Patience(self._arrivals, self.table.name, self.table.parents, read_at, self._stopping)

    def tries_again(self, now: float) -> bool:
        """Return whether rows that were set aside should be retried because others have arrived since."""
        news = self._arrivals.count != self._seen
        return bool(self._hopeful) and news and now >= self._tried_at + self._wait_seconds

    @property
    def arrivals(self) -> int:
        """Number of batches that have delivered rows to the destination."""
        return self._arrivals.count

    def left(self, hopeful: int, now: float) -> None:
        """Record how many rows are set aside now that may be accepted when others arrive."""
        if hopeful > self._hopeful:
            self._grown_at = now
            self._wait_seconds = 0.0
        self._hopeful = hopeful

    def tried(self, arrivals: int, now: float) -> None:
        """Record a retry and the number of batches before it; whether later batches helped is unknown."""
        fruitless = self._hopeful == self._tried
        self._wait_seconds = min(MOST_SECONDS, max(FIRST_SECONDS, 2 * self._wait_seconds)) if fruitless else 0.0
        self._tried = self._hopeful
        self._seen = arrivals
        self._tried_at = now

    def attentive(self, now: float) -> bool:
        """Return whether rows were set aside recently: the rows that they refer to may arrive at any moment."""
        return bool(self._hopeful) and now - self._grown_at < ATTENTIVE_SECONDS
