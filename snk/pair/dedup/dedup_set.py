"""Uuids that one database is known to hold, met again when the other one is tailed.

SNK reads a row in A and writes it into B; soon it meets it in B, and has to see that there is nothing to do. So it
notes the uuid before it writes, and drops the note with the row when the echo comes. The set stays as small as what
is under way. To lose a note costs a needless insert that the unique key refuses; a *false* note would lose a row,
so a note counts only as long as the server that was read has not restarted since: a crash may have taken the row back.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import not_


class DedupSet:
    """The notes about one table in one database, in memory, in numbered batches.

    Attributes:
        most: notes to be kept; the oldest batches go first.
        boot: the start of that database's server to which the notes belong.
        restored: what Redis remembers of this boot was taken up.
        landed: the greatest number of a batch whose write has ended.
        added: batches to be written behind to Redis: number and uuids.
        dropped: numbers of batches to be removed there.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.boot = ""
        self.restored = False
        self.landed = 0
        self.added: dict[int, Sequence[str]] = {}
        self.dropped: set[int] = set()
        self._last = 0
        self._batch_of: dict[str, int] = {}
        self._uuids_of: dict[int, Sequence[str]] = {}
        self._left_in: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._batch_of)

    def anchor(self, boot: str) -> None:
        """Say which start of the server is the present one. Another one than before empties the set."""
        if boot != self.boot:
            self.forget()
            self.boot = boot

    def forget(self) -> None:
        """Empty the set, and wait for the next anchor."""
        self.boot, self.restored = "", False
        for held in (self.added, self.dropped, self._batch_of, self._uuids_of, self._left_in):
            held.clear()

    def note(self, uuids: Sequence[str], boot: str) -> int:
        """Note rows that were just read there; of no effect if they were read before the present start.

        Returns:
            The batch's number, to be passed to `land` when its write has ended.
        """
        self._last += 1
        if not self.boot:
            self.anchor(boot)  # the flow that will meet these rows has yet to start
        if boot == self.boot and uuids:
            self._hold(self._last, uuids)
            self.added[self._last] = uuids
            while len(self) > self.most and len(self._uuids_of) > 1:
                self._close(next(iter(self._uuids_of)))
        return self._last

    def land(self, number: int, unmet: Iterable[str] = ()) -> None:
        """The write of a batch has ended; the echo of the ``unmet`` will not come."""
        self.landed = number
        self.take(unmet)

    def take(self, uuids: Iterable[str]) -> list[bool]:
        """Meet rows on the other side: for each, whether it has to be delivered. Notes that were met are gone."""
        numbers = list(map(self._batch_of.pop, uuids, repeat(0)))  # batches count from 1
        met = Counter(numbers)
        for number in met.keys() - {0}:
            self._left_in[number] -= met[number]
            if not self._left_in[number]:
                self._close(number)
        return list(map(not_, numbers))

    def settle(self, number: int) -> None:
        """Every row that was written up to this batch has been met: what is left of them will not come."""
        for batch in [batch for batch in self._uuids_of if batch <= number]:
            self._close(batch)

    def restore(self, uuids: Sequence[str]) -> None:
        """Take up a batch that an earlier process noted; its write has ended, one way or the other."""
        self.note(uuids, self.boot)

    def batches(self) -> dict[int, Sequence[str]]:
        """All batches that are not met in full."""
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
            self.dropped.add(number)  # Redis has heard of it, so it is to forget it
