"""Telling the rows that a trigger makes of a delivered row from those of applications.

A trigger on the destination may insert rows of its own for each row that SNK delivers, in the same transaction. They
go home like any other row, and should a trigger there do the same, again and again: for ever.

So SNK remembers in which transactions it wrote, and what. A row of an application is of generation 0. A row that was
made in a transaction in which SNK wrote rows of generation n, and that is none of these, is of generation n + 1. Rows
of different generations are never written in one transaction, so this is exact. An audit table that triggers fill on
both sides has rows of generation 1, and there it ends. Where it does not end, it is a loop.

A trigger that catches errors (EXCEPTION in PL/pgSQL) writes under a transaction number that nobody can tell from
others; its rows count as an application's. And each daemon knows its own transactions only: a loop through tables that
several daemons share out is not seen.
"""

from collections import OrderedDict
from collections.abc import Iterable

KEPT_SECONDS = 120.0
MOST_KEPT = 5000
LOOP_GENERATION = 3
"""From this one on rows are taken for those of a loop."""


class Origins:
    """SNK's own transactions in one database of late, by the 32-bit number that their rows bear (``xmin``)."""

    def __init__(self) -> None:
        self._written: OrderedDict[int, tuple[float, int]] = OrderedDict()

    def wrote(self, transactions: Iterable[int], generation: int, now: float) -> None:
        """SNK wrote rows of a generation in these transactions, ``now`` by the monotonic clock."""
        for transaction in transactions:
            self._written[transaction] = (now, generation)
        while len(self._written) > MOST_KEPT:
            self._written.popitem(last=False)

    def recent(self, now: float) -> dict[int, int]:
        """Those transactions whose rows may not have been read yet, with the generation that was written in each.

        Rows that were made beside those are of the next one.
        """
        while self._written and next(iter(self._written.values()))[0] < now - KEPT_SECONDS:
            self._written.popitem(last=False)
        return {transaction: generation for transaction, (_, generation) in self._written.items()}
