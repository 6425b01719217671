"""Finds in the background what tailing cannot see: compares a pair in use, with little load on both servers.

Each side is digested by ranges of uuids, in slices with rests between them (`snk.pair.verify.slices`). Ranges whose
digests differ are searched like those of a comparison (`snk.pair.verify.search`).

On a pair in use, the digests of many ranges would differ, and searching these would double the cost: rows that were in
flight when the pass began are at or below the greatest id on the side they come from, and above it on the side they go
to. These rows can be found, because they are among the first rows above it. If only one side's digest includes such a
row, the other side's row is added to the other side's digest. This only saves work: it can make a range look equal only
by rows that exist, and a range that it does not make equal is searched.
"""

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.lender import Door
from snk.db.server import Server
from snk.pair.table.synced import SyncedTable
from snk.pair.verify.digest import Digest
from snk.pair.verify.hashes import Texts
from snk.pair.verify.ranges import ALL, UuidRange
from snk.pair.verify.search import KINDS, LOOK_AGAIN_ROWS, Excuse, Progress, Search, both, unequal_parts
from snk.pair.verify.sides import sides_of
from snk.pair.verify.slices import KEPT_BITS, Passed, SlicedTableSide
from snk.pair.verify.throttle import Throttles

# A pass over the table takes three times as long with 16,384 ranges as with 1000. With fewer ranges, more rows share a
# range with a row that differs.
ROWS_PER_RANGE = 1000
MOST_RANGES = 2048
MOST_SWEPT = 100_000
MOST_NEWER = 20_000
DIGEST = "digest"
PARTS = 1000
"""Of a pass over a table, for the progress that is told."""


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of a sweep, for the rows that existed when it began.

    Attributes:
        only_in_first: uuids of rows that second persistently lacks; sorted, as are the others.
        only_in_second: uuids of rows that first lacks.
        different: uuids that both sides have, with different rows.
        complete: False if the search stopped early because too many rows differ: sweep again when these are copied.
        excused: how many rows differ and are known to differ.
        rows: how many rows the sweep covered, on each side.
        seconds: how long the sweep took.
    """

    table: str
    only_in_first: tuple[str, ...]
    only_in_second: tuple[str, ...]
    different: tuple[str, ...]
    complete: bool
    excused: int
    rows: tuple[int, int]
    seconds: float


def _to_nobody(what: str, done: int, of: int) -> None:
    """Ignore the progress."""


async def sweep(
    first: Door,
    second: Door,
    table: str,
    *,
    throttles: Throttles,
    settle_seconds: float = 5.0,
    excuse: Excuse | None = None,
    tell: Progress = _to_nobody,
) -> Swept:
    """Find the rows that differ persistently, among those that existed when the sweep began.

    Args:
        first: database A.
        second: database B.
        table: its name in the settings.
        throttles: limits on the load of this and other sweeps on each server.
        settle_seconds: how long a row must differ before it is reported; rows in flight must arrive sooner.
        excuse: returns the rows that are known to differ.
        tell: called with the progress.

    Raises:
        Unavailable, DatabaseUnfit, TableUnfit: a server cannot be reached, or the table cannot be compared.
    """
    began = time.monotonic()

    def make(server: Server, connection: AsyncConnection, table: SyncedTable, texts: Texts) -> SlicedTableSide:
        return SlicedTableSide(server, connection, table, texts, throttles[server.label])

    async with sides_of(first, second, table, make) as (name, sides):
        search = Search(sides, settle_seconds, tell, MOST_SWEPT, excuse)
        rows = await _compare(sides, search, tell)
    only_in_first, only_in_second, different = (search.of_kind(kind) for kind in KINDS)
    seconds = time.monotonic() - began
    return Swept(name, only_in_first, only_in_second, different, not search.full, search.excused, rows, seconds)


async def _compare(sides: Sequence[SlicedTableSide], search: Search, tell: Progress) -> tuple[int, int]:
    """Digest both sides and search where they differ; return how many rows the pass included, on each side."""
    await both(side.begin() for side in sides)
    ranges = await _ranges(sides)
    digests = await both(side.whole_by(ranges, passed) for side, passed in zip(sides, _slower(tell), strict=True))
    first, second = (sum(digest.rows for digest in found) for found in digests)
    if digests[0] != digests[1]:
        await _mend(sides, ranges, digests)
        await search.among(unequal_parts(ranges, *digests))
    return first, second


def _slower(tell: Progress) -> tuple[Passed, Passed]:
    """What both sides tell of their passes; the one that is behind counts."""
    shares = [0.0, 0.0]

    def passed(at: int, share: float) -> None:
        shares[at] = share
        tell(DIGEST, int(min(shares) * PARTS), PARTS)

    tell(DIGEST, 0, PARTS)
    return partial(passed, 0), partial(passed, 1)


async def _ranges(sides: Sequence[SlicedTableSide]) -> list[UuidRange]:
    """Ranges that cover all uuids, with about the same number of rows in each."""
    ends = [end for end in await both(side.ends(ALL) for side in sides) if end]
    if not ends:
        return [ALL]
    # With sparse ids there are fewer rows than this, which is acceptable, because ranges cost little.
    rows = max(side.most_rows for side in sides)
    inner = (ends[0] | ends[-1]).split(max(2, min(rows // ROWS_PER_RANGE, MOST_RANGES)))
    starts = [ALL.low, *(part.low for part in inner[1:])]
    stops = [*(part.high for part in inner[:-1]), ALL.high]
    return [UuidRange(start, stop) for start, stop in zip(starts, stops, strict=True)]


async def _mend(sides: Sequence[SlicedTableSide], ranges: Sequence[UuidRange], digests: Sequence[list[Digest]]) -> None:
    """Add to each side's digests the rows that arrived there after the pass began and that the other side includes."""
    newer = await both(side.newer(MOST_NEWER) for side in sides)
    lows = [part.low for part in ranges]
    for mended, here, there, other in zip(digests, newer, newer[::-1], sides[::-1], strict=True):
        # A row that is new on both sides did not exist when the pass began.
        wanted = list(here.keys() - there.keys())
        for start in range(0, len(wanted), LOOK_AGAIN_ROWS):
            for uuid in await other.older(wanted[start : start + LOOK_AGAIN_ROWS]):
                at = bisect_right(lows, UuidRange.of(uuid, uuid).low) - 1
                mended[at] = Digest(mended[at].rows + 1, mended[at].total + (here[uuid] & KEPT_BITS))
