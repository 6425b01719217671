"""Exact books of what was committed, and a comparison of the two sides with them.

The books do not depend on SNK: a row is in them because the drill itself wrote it and the server acknowledged its
COMMIT. If the acknowledgement was lost, the row is in doubt: it may exist or not, but if it is on one side it must be
on both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from snk.pair.drill.table import Held


@dataclass(frozen=True, slots=True)
class Findings:
    """Where the sides differ from the books.

    Attributes:
        lost: committed rows that a side lacks, or holds with other data.
        foreign: rows that the drill did not commit, and rows with other data.
        twice: how many rows a side holds beyond the first of the same uuid.
    """

    lost: frozenset[str] = frozenset()
    foreign: frozenset[str] = frozenset()
    twice: int = 0

    @property
    def doubled(self) -> int:
        """Number of surplus rows."""
        return len(self.foreign) + self.twice

    @property
    def clean(self) -> bool:
        """Whether each side holds every committed row exactly once, and nothing else."""
        return not self.lost and not self.doubled

    def without(self, known: "Findings") -> "Findings":
        """The findings that are not among the known ones."""
        return Findings(self.lost - known.lost, self.foreign - known.foreign, max(0, self.twice - known.twice))


class Books:
    """What the drill committed.

    Attributes:
        committed: uuids of rows whose COMMIT was acknowledged, or that were found although it was not.
        in_doubt: uuids of rows whose COMMIT was sent and not acknowledged.
    """

    def __init__(self) -> None:
        self.committed: set[str] = set()
        self.in_doubt: set[str] = set()

    def sending(self, uuids: Iterable[str]) -> None:
        """The COMMIT of these rows is about to be sent."""
        self.in_doubt.update(uuids)

    def answered(self, uuids: Sequence[str]) -> None:
        """The server acknowledged that they are committed."""
        self.in_doubt.difference_update(uuids)
        self.committed.update(uuids)

    def check(self, sides: Sequence[Held]) -> Findings:
        """Compare the books with what the sides hold; call this only while no writer is active."""
        present = [set(side.uuids) for side in sides]
        settled = self.in_doubt.intersection(set().union(*present))
        self.answered(list(settled))
        lost, foreign, twice = set[str](), set[str](), 0
        for side, uuids in zip(sides, present, strict=True):
            lost |= (self.committed - uuids) | (side.altered & self.committed)
            foreign |= (uuids - self.committed) | side.altered
            twice += len(side.uuids) - len(uuids)
        return Findings(frozenset(lost), frozenset(foreign), twice)
