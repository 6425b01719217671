"""Tailing a table by its id without losing a row: mark, holes and fences.

A sequence assigns an id before its transaction commits, so a lower id can become visible after a higher one was read.
`Tail` is what one reader knows about one table. Every id at or below ``high`` was delivered, lies in a hole, or is
finished: it was in a hole that was given up because no transaction was left that could fill it. A transaction that
owns an unseen id below ``high``

1. took a lock on the table or on its sequence before drawing the id,
2. drew the id before ``high`` was committed,
3. releases the lock only after its rows are visible.

So the reader repeats these steps in this order, each as a separate statement with its own snapshot:

* **read** the rows above ``high``  → `Tail.read`; skipped ids become new holes,
* if there are holes, **look** which transactions hold such locks  → `Tail.look`; the first look at a hole is its
  fence, later looks only remove members,
* if a member has ended, and once after the first look, **re-read** the holes  → `Tail.reread`; rows found there are
  delivered, and a hole whose fence is empty is finished.

The first of the three statements does not hold for all transactions: an id may be drawn in an earlier transaction than
the one that inserts it. So the re-read reports which ids it finished unseen. The ledger (`snk.pair.core.ledger`) keeps
them, because such a row would appear there.

Everything here is a frozen value: no I/O, no clock. The proof depends on the order of the calls, which the caller must
keep.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from snk.core.intervals import NOTHING, Intervals, union

MOST_HOLES = 20_000
"""Intervals kept per fence. If a transaction stays open while many ids are skipped, the intervals become coarse."""
COARSE_HOLES = 3 * MOST_HOLES // 4
"""Intervals kept after making them coarse. This leaves room for new ones, because making them coarse takes time."""

Writer = str
"""A transaction that can still fill a hole, by its virtual transaction id."""


@dataclass(frozen=True, slots=True)
class Fenced:
    """Holes that appeared together, and the transactions that could still fill them.

    Attributes:
        holes: ids never seen.
        fence: the writers that the first look after the holes appeared found, and that still run; None before that
            look.
        due: whether to re-read these holes: a member has ended since the last re-read, or the look found no writer, or
            they were never re-read: a writer may have ended between the read that found them and the first look.
        reread: whether they were re-read since the first look.
    """

    holes: Intervals
    fence: frozenset[Writer] | None = None
    due: bool = False
    reread: bool = False


@dataclass(frozen=True, slots=True)
class Tail:
    """What one reader knows of one table.

    Attributes:
        high: the greatest id ever read.
        fenced: the holes below it, in groups of one fence each.
        finished: the ids that the last re-read found absent, and whose hole it finished; none of them is in a hole.
            The next read empties it, so the caller must use it before that.
    """

    high: int = 0
    fenced: tuple[Fenced, ...] = ()
    finished: Intervals = NOTHING

    @classmethod
    def resumed(cls, high: int, holes: Intervals) -> "Tail":
        """A tail restored from its mark. Fences are not stored: the next look determines them again."""
        return cls(high, (Fenced(holes),) if holes else ())

    @property
    def holes(self) -> Intervals:
        """All ids at or below ``high`` that were never seen and may still come."""
        return union(group.holes for group in self.fenced)

    @property
    def due(self) -> Intervals:
        """The holes to re-read now."""
        return union(group.holes for group in self.fenced if group.due)

    @property
    def writers(self) -> frozenset[Writer]:
        """The transactions that hold a hole open."""
        return frozenset(writer for group in self.fenced for writer in group.fence or ())

    def read(self, ids: Sequence[int]) -> "Tail":
        """The tail after a read of the rows above ``high``, given their ids, ascending. Skipped ids become a hole."""
        if not ids:
            return replace(self, finished=NOTHING) if self.finished else self
        distinct = len(set(ids))  # without a unique index the same id may come twice
        contiguous = ids[0] == self.high + 1 and ids[-1] - ids[0] == distinct - 1
        gaps = NOTHING if contiguous else Intervals.between(self.high, ids)
        fenced = (*self.fenced, Fenced(gaps)) if gaps else self.fenced
        return replace(self, high=ids[-1], fenced=fenced, finished=NOTHING)

    def look(self, writers: frozenset[Writer]) -> "Tail":
        """The tail after a look, later than the last read, at all transactions that could fill a hole."""
        merged: dict[Fenced, Intervals] = {}
        for group in (_looked(group, writers) for group in self.fenced):
            alike = replace(group, holes=NOTHING)
            holes = merged.get(alike, NOTHING) | group.holes
            merged[alike] = holes if len(holes.pairs) <= MOST_HOLES else holes.coarse(COARSE_HOLES)
        return replace(self, fenced=tuple(replace(alike, holes=holes) for alike, holes in merged.items()))

    def reread(self, ids: Iterable[int], *, up_to: int | None = None) -> "Tail":
        """The tail after a re-read, later than the last look, of the holes that are due.

        Args:
            ids: the ids found in them.
            up_to: the last id that the re-read reached, if it covered only a part; holes above it stay due.
        """
        seen = Intervals.of((i, i) for i in ids)
        groups: list[Fenced] = []
        finished = NOTHING
        for group in self.fenced:
            if not group.due:
                groups.append(group)
                continue
            reached = group.holes if up_to is None else group.holes.up_to(up_to)
            later = NOTHING if up_to is None else group.holes.above(up_to)
            if later:
                groups.append(replace(group, holes=later))
            empty = reached - seen
            if empty and group.fence:
                groups.append(Fenced(empty, group.fence, reread=True))
            else:
                finished |= empty
        # Finished ids are disjoint from the remaining holes, including coarse ones: a writer in one fence is in all
        # younger fences. So groups with an empty fence are the oldest, all of them are due, and their ids are below
        # those of the others.
        return replace(self, fenced=tuple(groups), finished=finished)


def _looked(group: Fenced, writers: frozenset[Writer]) -> Fenced:
    if group.fence is None:
        return replace(group, fence=writers, due=not writers)
    left = group.fence & writers
    return replace(group, fence=left, due=group.due or not group.reread or len(left) < len(group.fence))
