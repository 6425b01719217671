"""Rows that come late: into holes that were given up, where tailing does not see them (`snk.pair.core.ledger`)."""

import time

from snk.core.intervals import Intervals
from snk.pair.core.ledger import Ledger
from snk.pair.core.portion import Portion
from snk.pair.table.reader import Found, Reader
from snk.pair.table.writer import Writer

LATE_SECONDS = 2.0
LATE_REST = 20  # times as long as a look took: it is dear where many rows were rolled back


class Late:
    """When to look for them, and where.

    Where some have come there may be many, as when old rows are put back. So a look that finds some is followed by
    another at once.

    Attributes:
        more: the last look found some, and there may be more.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.more = False
        self._ledger = self._kept = ledger
        self._looks_at = time.monotonic() + LATE_SECONDS

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return bool(self._ledger.recent) and time.monotonic() >= self._looks_at

    def finished(self, finished: Intervals) -> None:
        """More holes were given up."""
        self._ledger = self._ledger.after(finished)

    async def look(self, reader: Reader, portion: Portion) -> Found:
        """Rows that have come, as many as fit."""
        began = time.monotonic()
        found = await reader.within(self._ledger.recent, portion)
        now = time.monotonic()
        self._ledger = self._ledger.without(found.ids)
        self.more = bool(found.ids and self._ledger.recent)
        if not self.more:
            self._looks_at = now + max(LATE_SECONDS, LATE_REST * (now - began))
        return found

    async def keep(self, writer: Writer) -> None:
        """Keep the ledger for later sessions, if it has changed and nothing more is expected at once."""
        if self._ledger != self._kept and not self.more:
            await writer.keep_ledger(self._ledger)
            self._kept = self._ledger
