"""Rows of one flow that refer to rows of others: to be waited for, or tried again when others have arrived."""

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
        parents: the tables to which its foreign keys refer, by full name.
    """

    name: str
    parents: frozenset[str] = frozenset()


class Referred:
    """What one session knows of the rows to which its own refer.

    Rows that were set aside because one was missing are tried again when rows have arrived in the destination, in
    whatever table; ever more rarely, up to `MOST_SECONDS`, as long as none of them is taken and no more are set aside.

    Attributes:
        table: where this session writes.

    Args:
        arrivals: of the destination.
        table: as above.
        hopeful: how many rows are set aside for such a reason (`snk.pair.table.rejects.Aside`).
        stopping: whether it is time to stop.
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
        """A step of this session: `Arrivals.arrived`."""
        self._arrivals.arrived(self.table.name, complete, rows)

    def patience(self, read_at: float) -> Patience:
        """What waits for the rows to which those of a batch refer that had been read then."""
        return Patience(self._arrivals, self.table.name, self.table.parents, read_at, self._stopping)

    def tries_again(self, now: float) -> bool:
        """Whether rows that were set aside are to be tried again, for others have arrived since."""
        news = self._arrivals.count != self._seen
        return bool(self._hopeful) and news and now >= self._tried_at + self._wait_seconds

    @property
    def arrivals(self) -> int:
        """How many batches have brought rows to the destination."""
        return self._arrivals.count

    def left(self, hopeful: int, now: float) -> None:
        """So many rows are set aside now that may be taken when others arrive."""
        if hopeful > self._hopeful:
            self._grown_at = now
            self._wait_seconds = 0.0
        self._hopeful = hopeful

    def tried(self, arrivals: int, now: float) -> None:
        """They were tried, and so many batches had arrived before: of later ones nobody knows whether they helped."""
        fruitless = self._hopeful == self._tried
        self._wait_seconds = min(MOST_SECONDS, max(FIRST_SECONDS, 2 * self._wait_seconds)) if fruitless else 0.0
        self._tried = self._hopeful
        self._seen = arrivals
        self._tried_at = now

    def attentive(self, now: float) -> bool:
        """Whether rows were set aside just now: those to which they refer may come any moment."""
        return bool(self._hopeful) and now - self._grown_at < ATTENTIVE_SECONDS
