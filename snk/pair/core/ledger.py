"""The ids whose holes were finished empty. A row that appears there later is invisible to tailing.

Tailing gives up a hole when no transaction is left that could fill it. This is unsound for ids drawn in an earlier
transaction than the one that inserts them: sequences with CACHE above 1, hi/lo allocators, a sequence that was set
back. Such a row appears in a finished hole. The newest finished holes are few enough to re-read every few seconds; the
others are left to the sweep, which compares whole tables.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from snk.core.intervals import NOTHING, Intervals

MOST = 500
"""Maximum number of intervals to re-read; each costs one index lookup."""

KEPT = 4 * MOST
"""Maximum number of intervals kept. When late rows arrive in the newest ones, older intervals take their place."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Finished ids of one table at its source.

    Attributes:
        finished: those with the greatest ids: at most `KEPT` intervals.
    """

    finished: Intervals = NOTHING

    @property
    def recent(self) -> Intervals:
        """The newest ones, at most `MOST` intervals, which are re-read periodically."""
        return Intervals(self.finished.pairs[-MOST:])

    def after(self, finished: Intervals) -> "Ledger":
        """The ledger after more holes were finished, as in `snk.pair.core.tail.Tail.finished`."""
        if not finished:
            return self
        return Ledger(Intervals((self.finished | finished).pairs[-KEPT:]))

    def without(self, ids: Iterable[int]) -> "Ledger":
        """The ledger after rows with these ids arrived late; ids that it does not hold are ignored."""
        came = [i for i in ids if i in self.finished]
        return Ledger(Intervals(self.finished.without(came).pairs[-KEPT:])) if came else self
