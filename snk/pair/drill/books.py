"""Exact books of what was committed, and what they say of the two sides.

They know nothing of SNK: a row is in them because the drill itself wrote it and the server answered its COMMIT. Where
that answer was lost the row is in doubt: it may be there or not, but if it is on one side it must be on both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snk.pair.drill.table import Held


@dataclass(frozen=True, slots=True)
class Findings:
    """Where the sides are not as the books say.

    Attributes:
        lost: committed rows that a side lacks, or holds with other data.
        foreign: rows that nobody committed, and rows with other data.
        twice: how many rows a side holds beyond the first of the same uuid.
    """

    lost: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    twice: int = 0

    @property
    def doubled(self) -> int:
        """Rows that are too many."""
        return len(self.foreign) + self.twice

    @property
    def clean(self) -> bool:
        """Whether each side holds every committed row exactly once, and nothing else."""
        return not self.lost and not self.doubled

    def without(self, known: "Findings") -> "Findings":
        """What was not found before."""
        return Findings(self.lost - known.lost, self.foreign - known.foreign, max(0, self.twice - known.twice))


class Books:
    """What the drill committed.

    Attributes:
        committed: the uuids of rows whose COMMIT was answered, or which were found after it was not.
        in_doubt: those whose COMMIT was sent and not answered.
    """

    def __init__(self) -> None:
        self.committed: set[str] = set()
        self.in_doubt: set[str] = set()

    def sending(self, uuids: Iterable[str]) -> None:
        """The COMMIT of these rows is about to be sent."""
        self.in_doubt.update(uuids)

    def answered(self, uuids: Sequence[str]) -> None:
        """The server said that they are committed."""
        self.in_doubt.difference_update(uuids)
        self.committed.update(uuids)

    def check(self, sides: Sequence[Held]) -> Findings:
        """Compare the books with what the sides hold, at a time when nobody writes."""
        present = [set(side.uuids) for side in sides]
        settled = self.in_doubt.intersection(set().union(*present))
        self.answered(list(settled))
        lost, foreign, twice = set[str](), set[str](), 0
        for side, uuids in zip(sides, present, strict=True):
            lost |= (self.committed - uuids) | (side.altered & self.committed)
            foreign |= (uuids - self.committed) | side.altered
            twice += len(side.uuids) - len(uuids)
        return Findings(frozenset(lost), frozenset(foreign), twice)
