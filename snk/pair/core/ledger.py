"""The ids whose holes were finished empty: where a row may yet appear that tailing would not see.

Tailing gives a hole up when nobody is left who could fill it. That is not sound for ids drawn in an earlier transaction
than the one that inserts them: sequences with CACHE above 1, hi/lo allocators, a sequence set back. Such a row appears
in a finished hole. The newest of them are few enough to be re-read every few seconds; all others are left to the
sweep, which compares whole tables.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from snk.core.intervals import NOTHING, Intervals

MOST = 500
"""Intervals to re-read: each is a look into the index."""

KEPT = 4 * MOST
"""Intervals kept. Where rows do come after all, older intervals move up."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Finished ids of one table at its source.

    Attributes:
        finished: the newest of them, by their place in the table: at most `KEPT` intervals.
    """

    finished: Intervals = NOTHING

    @property
    def recent(self) -> Intervals:
        """The newest ones, at most `MOST` intervals: to be re-read now and then."""
        return Intervals(self.finished.pairs[-MOST:])

    def after(self, finished: Intervals) -> "Ledger":
        """The ledger after more holes were finished (`snk.pair.core.tail.Tail.finished`)."""
        if not finished:
            return self
        return Ledger(Intervals((self.finished | finished).pairs[-KEPT:]))

    def without(self, ids: Iterable[int]) -> "Ledger":
        """The ledger after the rows of these ids came after all; ids it does not hold change nothing."""
        came = [i for i in ids if i in self.finished]
        return Ledger(Intervals(self.finished.without(came).pairs[-KEPT:])) if came else self
