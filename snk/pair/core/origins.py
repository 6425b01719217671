"""Distinguishes rows that triggers insert for delivered rows from rows that applications insert.

A trigger on the destination may insert additional rows for each row that SNK delivers, in the same transaction. SNK
copies these rows back like any other row. If a trigger on the other side does the same, this repeats forever.

So SNK remembers in which transactions it wrote rows, and of which generation. A row of an application has generation
0. If SNK wrote rows of generation n in a transaction, any other row from that transaction has generation n + 1. SNK
never writes rows of different generations in one transaction, so this is exact. An audit table that triggers fill on
both sides has rows of generation 1, and it ends there. Where it does not end, it is a loop.

A trigger that catches errors (EXCEPTION in PL/pgSQL) writes under a subtransaction number that cannot be attributed
to SNK; its rows count as an application's. Each daemon knows only its own transactions, so a loop through tables that
are divided among several daemons is not detected.
"""

from collections import OrderedDict
from collections.abc import Iterable

KEPT_SECONDS = 120.0
MOST_KEPT = 5000
LOOP_GENERATION = 3
"""Rows of this generation or a later one are treated as a loop."""


class Origins:
    """SNK's recent transactions in one database, by the 32-bit number in ``xmin`` of their rows."""

    def __init__(self) -> None:
        self._written: OrderedDict[int, tuple[float, int]] = OrderedDict()

    def wrote(self, transactions: Iterable[int], generation: int, now: float) -> None:
        """Record that SNK wrote rows of a generation in these transactions, ``now`` by the monotonic clock."""
        for transaction in transactions:
            self._written[transaction] = (now, generation)
        while len(self._written) > MOST_KEPT:
            self._written.popitem(last=False)

    def recent(self, now: float) -> dict[int, int]:
        """Transactions whose rows may not have been read yet, each with the generation that SNK wrote in it.

        Other rows from such a transaction belong to the next generation.
        """
        while self._written and next(iter(self._written.values()))[0] < now - KEPT_SECONDS:
            self._written.popitem(last=False)
        return {transaction: generation for transaction, (_, generation) in self._written.items()}
