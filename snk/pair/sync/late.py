"""Rows that appear late: in holes that were given up, which tailing does not read (`snk.pair.core.ledger`)."""

import time

from snk.core.intervals import Intervals
from snk.pair.core.ledger import Ledger
from snk.pair.core.portion import Portion
from snk.pair.table.reader import Found, Reader
from snk.pair.table.writer import Writer

LATE_SECONDS = 2.0
LATE_REST = 20  # pause as a multiple of the look before it; a look is expensive if many rows were rolled back


class Late:
    """Decides when and where to look for late rows.

    If a look finds rows, there may be many more, for example when old rows are restored. So it is followed by another
    look immediately.

    Attributes:
        more: the last look found rows, and there may be more.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.more = False
        self._ledger = self._kept = ledger
        self._looks_at = time.monotonic() + LATE_SECONDS

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return self.pending and time.monotonic() >= self._looks_at

    @property
    def pending(self) -> bool:
        """Whether rows may still appear."""
        return bool(self._ledger.recent)

    def finished(self, finished: Intervals) -> None:
        """More holes were given up."""
        self._ledger = self._ledger.after(finished)

    async def look(self, reader: Reader, portion: Portion) -> Found:
        """Rows that have appeared, as many as fit."""
        began = time.monotonic()
        found = await reader.within(self._ledger.recent, portion)
        now = time.monotonic()
        self._ledger = self._ledger.without(found.ids)
        self.more = bool(found.ids and self._ledger.recent)
        if not self.more:
            self._looks_at = now + max(LATE_SECONDS, LATE_REST * (now - began))
        return found

    async def keep(self, writer: Writer) -> None:
        """Save the ledger for later sessions, if it has changed and no more rows are expected immediately."""
        if self._ledger != self._kept and not self.more:
            await writer.keep_ledger(self._ledger)
            self._kept = self._ledger
