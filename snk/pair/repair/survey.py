"""Two databases before their first run: how many rows are only here, only there, in both, or in conflict.

`snk.pair.verify.compare` names every row that differs; before a first run these may be millions. So this counts them,
range by range of uuids, and keeps none.
"""

import time
from dataclasses import dataclass, replace

from snk.db.server import Server
from snk.pair.verify.digest import TableSide
from snk.pair.verify.ranges import ALL, Batch, UuidRange, batches
from snk.pair.verify.search import KINDS, MOST_PARTS, MOST_ROWS_FETCHED, Kind, Progress, both, unequal_rows
from snk.pair.verify.sides import sides_of

ROWS_PER_RANGE = 5000
COPIED_PER_SECOND = 20_000
"""How many rows SNK copies in a second at least, on two cores shared with both servers (bench/RESULTS.md)."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a first run will find in one table.

    Attributes:
        only_in_first: rows that will be copied to second.
        only_in_second: rows that will be copied to first.
        both: rows that are equal on both sides already.
        conflicts: rows with the same uuid that differ; they will be recorded and left alone.
        seconds: how long the survey took.
    """

    table: str
    only_in_first: int
    only_in_second: int
    both: int
    conflicts: int
    seconds: float

    @property
    def copy_seconds(self) -> float:
        """How long the first run will take to copy what is missing, roughly."""
        return max(self.only_in_first, self.only_in_second) / COPIED_PER_SECOND


async def survey(first: Server, second: Server, table: str, tell: Progress) -> Survey:
    """Count the rows of one table by where they are.

    Raises:
        Unavailable, DatabaseUnfit, TableUnfit: a server cannot be reached, or the table cannot be compared.
    """
    began = time.monotonic()
    # A pass over a large table may take any time; SNK checks that the server is still working on it.
    first, second = (replace(server, command_seconds=None) for server in (first, second))
    async with sides_of(first, second, table, TableSide) as (name, sides):
        counting = _Counting(sides, tell)
        whole = await both(side.whole() for side in sides)
        if whole[0] == whole[1]:
            counting.equal = whole[0].rows
        else:
            await counting.count(ALL, max(digest.rows for digest in whole))
    found, seconds = counting.found, time.monotonic() - began
    return Survey(name, found["only_in_first"], found["only_in_second"], counting.equal, found["different"], seconds)


class _Counting:
    """The counts so far."""

    def __init__(self, sides: list[TableSide], tell: Progress) -> None:
        self._sides = sides
        self._tell = tell
        self.equal = 0
        self.found: dict[Kind, int] = dict.fromkeys(KINDS, 0)

    async def count(self, whole: UuidRange, rows: int) -> None:
        """Count the rows of a range that holds about so many; a part that holds too many is split again."""
        ends = [end for end in await both(side.ends(whole) for side in self._sides) if end]
        if not ends:
            return
        parts = (ends[0] | ends[-1]).split(max(2, min(rows // ROWS_PER_RANGE, MOST_PARTS)))
        digests = await both(side.parts(parts) for side in self._sides)
        unequal: Batch = []
        for part, one, other in zip(parts, *digests, strict=True):
            if one == other:
                self.equal += one.rows
            else:
                unequal.append((part, max(one.rows, other.rows)))
        for done, batch in enumerate(batches(unequal, MOST_ROWS_FETCHED)):
            self._tell("count", done, len(unequal))
            size = sum(held for _, held in batch)
            if size > MOST_ROWS_FETCHED and batch[0][0].low < batch[-1][0].high:
                await self.count(batch[0][0], size)
            else:
                await self._look_into([part for part, _ in batch])

    async def _look_into(self, ranges: list[UuidRange]) -> None:
        one, other = await both(side.hashes(ranges) for side in self._sides)
        found = unequal_rows(one, other)
        for kind in found.values():
            self.found[kind] += 1
        self.equal += len(one.keys() & other.keys()) - sum(kind == "different" for kind in found.values())
