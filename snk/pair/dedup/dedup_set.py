"""Uuids that one database is known to hold, met again when the other one is tailed.

SNK reads a row in A and writes it into B. Soon it reads the row in B and must recognise it as an echo. So it adds the
uuid to the set before it writes, and removes the entry when it drops the echo. The set is only as large as the number
of rows in flight. A lost entry costs one needless insert, which the unique key refuses. A *false* entry would lose a
row. So an entry is valid only while the server that was read has not restarted: a crash may have undone the row.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import not_


class Pool:
    """What all sets of a daemon may hold together: most tables are quiet, and leave their share to those that are not.

    Attributes:
        most: maximum number of entries of all sets; the oldest batch of the largest set is removed first.
        sets: the sets.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.sets: list[DedupSet] = []

    def keep_small(self) -> None:
        """Remove batches as long as there are too many entries."""
        while sum(map(len, self.sets)) > self.most and max(self.sets, key=len).drop_oldest():
            pass


class DedupSet:
    """The entries of one table in one database, in memory, in numbered batches.

    Attributes:
        most: maximum number of entries; the oldest batches are removed first.
        boot: the boot of that database's server to which the entries belong.
        restored: whether the entries that Redis holds for this boot were restored.
        landed: the greatest number of a batch whose write has ended.
        added: batches that are still to be written to Redis: number and uuids.
        dropped: numbers of batches that are still to be removed from Redis.
        touched: called whenever something was added or removed.
    """

    def __init__(self, most: int, pool: "Pool | None" = None) -> None:
        self.most = most
        self._pool = pool
        if pool:
            pool.sets.append(self)
        self.boot = ""
        self.restored = False
        self.landed = 0
        self.added: dict[int, Sequence[str]] = {}
        self.dropped: set[int] = set()
        self.touched: Callable[[], None] = lambda: None
        self._last = 0
        self._batch_of: dict[str, int] = {}
        self._uuids_of: dict[int, Sequence[str]] = {}
        self._left_in: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._batch_of)

    def anchor(self, boot: str) -> None:
        """Set the server's current boot. A new boot empties the set."""
        if boot != self.boot:
            self.forget()
            self.boot = boot

    def forget(self) -> None:
        """Empty the set until the next `anchor`."""
        self.boot, self.restored = "", False
        for held in (self.added, self.dropped, self._batch_of, self._uuids_of, self._left_in):
            held.clear()

    def note(self, uuids: Sequence[str], boot: str) -> int:
        """Add rows that were just read there; no effect if they were read before the current boot.

        Returns:
            The batch's number. Pass it to `land` when the write has ended.
        """
        self._last += 1
        if not self.boot:
            self.anchor(boot)  # the flow that will read these rows has not started yet
        if boot == self.boot and uuids:
            self._hold(self._last, uuids)
            self.added[self._last] = uuids
            self.touched()
            while len(self) > self.most and self.drop_oldest():
                pass
            if self._pool:
                self._pool.keep_small()
        return self._last

    def drop_oldest(self) -> bool:
        """Remove the oldest batch, unless there is no other; return whether it was."""
        if len(self._uuids_of) > 1:
            self._close(next(iter(self._uuids_of)))
            return True
        return False

    def land(self, number: int, unmet: Iterable[str] = ()) -> None:
        """Record that the write of a batch has ended. The ``unmet`` rows will cause no echo."""
        self.landed = number
        self.take(unmet)

    def take(self, uuids: Iterable[str]) -> list[bool]:
        """Check rows read on the other side: for each, whether it must be delivered. Matched entries are removed."""
        numbers = list(map(self._batch_of.pop, uuids, repeat(0)))  # batches count from 1
        met = Counter(numbers)
        for number in met.keys() - {0}:
            self._left_in[number] -= met[number]
            if not self._left_in[number]:
                self._close(number)
        return list(map(not_, numbers))

    def settle(self, number: int) -> None:
        """Record that all rows written up to this batch have been read: entries that remain will not be matched."""
        for batch in [batch for batch in self._uuids_of if batch <= number]:
            self._close(batch)

    def restore(self, uuids: Sequence[str]) -> None:
        """Add a batch of an earlier process. Its write has ended, successfully or not."""
        self.note(uuids, self.boot)

    def batches(self) -> dict[int, Sequence[str]]:
        """All batches with entries that were not matched yet."""
        return dict(self._uuids_of)

    def _hold(self, number: int, uuids: Sequence[str]) -> None:
        entries = dict.fromkeys(uuids, number)
        self._batch_of.update(entries)
        self._uuids_of[number] = uuids
        self._left_in[number] = len(entries)

    def _close(self, number: int) -> None:
        if self._left_in.pop(number, 0):
            for uuid in self._uuids_of[number]:
                self._batch_of.pop(uuid, None)
        del self._uuids_of[number]
        if self.added.pop(number, None) is None:
            self.dropped.add(number)  # it was sent to Redis, so it must be removed there
            self.touched()
