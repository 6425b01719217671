"""What was drawn from sequences: news, or ids of which it is known that no row will come.

A transaction that draws an id and is undone leaves a sequence above all rows of its table, for ever if nobody uses the
table any more. The table need not be asked about again and again. It is asked until it has no such row at a moment when
all transactions have ended that were under way a while after the id was drawn: a row that has it would be there.

A row whose id was drawn in an earlier transaction may come even then, as may one whose id was set by hand: the watch
finds them when it asks about all tables in turn.
"""

import time
from dataclasses import dataclass

from snk.pair.table.commits import Ids

WHILE_SECONDS = 1.0  # from drawing an id to the transaction that is seen with it


@dataclass(slots=True)
class _Last:
    """What was drawn last from the sequence of a table.

    Attributes:
        noticed: monotonic time.
        after: the first transaction after those that may have drawn it; 0 while that is unknown.
        vain: no row will come.
    """

    drawn: int
    noticed: float
    after: int = 0
    vain: bool = False


class Drawn:
    """What was drawn from the sequences of one server, as far as flows have not read it."""

    def __init__(self) -> None:
        self._last: dict[int, _Last] = {}

    def __len__(self) -> int:
        return len(self._last)

    def is_news(self, ids: Ids, last: int | None) -> bool:
        """Whether more was drawn than at the last look; ``last`` is None if that is hidden."""
        known = self._last.get(ids.oid)
        if last is None or (known and known.drawn == last):
            return False
        self._last[ids.oid] = _Last(last, time.monotonic())
        return True

    def is_vain(self, ids: Ids) -> bool:
        """Whether no row will come that has what was drawn."""
        known = self._last.get(ids.oid)
        return known is not None and known.vain

    def no_row(self, ids: Ids, snapshot: str) -> None:
        """There was no row, at a moment not before this snapshot.

        Ids that a session has drawn in advance may be used at any time.
        """
        known = self._last.get(ids.oid)
        if known is None or ids.cached:
            return
        oldest, following = (int(number) for number in snapshot.split(":")[:2])
        if known.after:
            known.vain = oldest >= known.after
        elif time.monotonic() - known.noticed > WHILE_SECONDS:
            known.after = following

    def forget(self) -> None:
        """Nothing is known any more."""
        self._last.clear()
