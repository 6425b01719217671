"""Searches for the rows that differ, by classes or by ranges, and checks the rows it found again.

Usually few rows differ. So the search first digests the rows by classes, which are defined by a hash of the uuid, and
then fetches the hash of every row in the classes that differ: two passes over the table.

If many classes differ, the search proceeds by ranges. If the digests of a range are equal, the range is done.
Otherwise the range is split and each part is digested. The parts that differ are split again, until they are small
enough to fetch the hash of every row. This is the descent of a Merkle tree that is computed on demand (as in Dynamo's
anti-entropy, DeCandia et al., 2007). The leaves are divided by uuid, because ids differ between the sides.

On a live pair, rows are in flight during the comparison. So a row that looks different is only a suspect. It is checked
again, by uuid, until it is equal or has differed for a while. Memory for suspects is bounded: if there are many, the
current ones are settled before the search continues.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from itertools import islice
from typing import Any, Literal, TypeVar, get_args

from snk.pair.verify.digest import Digest, TableSide
from snk.pair.verify.ranges import ALL, Batch, UuidRange, batches

LEAST_CLASSES = 2048
MOST_CLASSES = 65_536
ROWS_PER_CLASS = 10_000  # with more classes, fewer of their sums fit into the processor's cache
FEW_UNEQUAL = 1 / 16
MOST_IN_CLASSES = 250_000
ROWS_PER_PART = 300
MOST_PARTS = 16_384
MOST_ROWS_FETCHED = 10_000
MOST_DIFFERENCES = 200_000
LOOK_AGAIN = "look again"
LOOK_AGAIN_ROWS = 5000
FIRST_PAUSE_SECONDS = 0.05
MOST_PAUSE_SECONDS = 1.0

T = TypeVar("T")
P = TypeVar("P")

Kind = Literal["only_in_first", "only_in_second", "different"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Excuse = Callable[[dict[str, Kind]], Awaitable[frozenset[str]]]
"""Returns the rows, of those given, that are known to differ; the search ignores them."""

Progress = Callable[[str, int, int], None]
"""Called with the current activity, the number of completed parts, and the number of all parts."""


class Search:
    """The search in classes or ranges, and its results so far.

    Attributes:
        found: rows that differ persistently, by uuid.
        excused: how many differing rows were ignored.
    """

    def __init__(
        self,
        sides: Sequence[TableSide],
        settle_seconds: float,
        tell: Progress,
        most: int | None = None,
        excuse: Excuse | None = None,
    ) -> None:
        self._sides = sides
        self._settle_seconds = settle_seconds
        self._tell = tell
        self._most = MOST_DIFFERENCES if most is None else most
        self._excuse = excuse
        self._suspects: dict[str, Kind] = {}
        self.excused = 0
        self.found: dict[str, Kind] = {}

    @property
    def full(self) -> bool:
        """Whether so many rows differ that the search stops early."""
        return len(self.found) >= self._most

    async def run(self, rows: int) -> None:
        """Find all rows that differ.

        Args:
            rows: approximate number of rows on the side that has more.
        """
        count = min(MOST_CLASSES, max(LEAST_CLASSES, 1 << (rows // ROWS_PER_CLASS).bit_length()))
        unequal = unequal_parts(range(count), *await both(side.classes(count) for side in self._sides))
        if not unequal:
            return
        if sum(size for _, size in unequal) <= min(rows * FEW_UNEQUAL, MOST_IN_CLASSES):
            self._tell("narrow down", 0, 1)
            numbers = [number for number, _ in unequal]
            self._suspects = unequal_rows(*await both(side.hashes_in(numbers, count) for side in self._sides))
        else:
            await self._descend(ALL, rows)
        await self._settle()

    async def among(self, unequal: Batch) -> None:
        """Find all rows that differ, given the ranges whose digests differ and how many rows each of them holds."""
        await self._narrow(unequal)
        await self._settle()

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """The uuids found to differ in this way, sorted."""
        return tuple(sorted(uuid for uuid, found_kind in self.found.items() if found_kind == kind))

    async def _descend(self, whole: UuidRange, rows: int) -> None:
        ends = [end for end in await both(side.ends(whole) for side in self._sides) if end]
        if not ends:
            return
        whole = ends[0] | ends[-1]
        parts = whole.split(max(2, min(rows // ROWS_PER_PART, MOST_PARTS)))
        await self._narrow(unequal_parts(parts, *await both(side.parts(parts) for side in self._sides)))

    async def _narrow(self, unequal: Batch) -> None:
        done = 0
        for batch in batches(unequal, MOST_ROWS_FETCHED):
            self._tell("narrow down", done, len(unequal))
            await self._look_into(batch)
            done += len(batch)
            if self.full:
                return

    async def _look_into(self, batch: Batch) -> None:
        ranges = [part for part, _ in batch]
        size = sum(rows for _, rows in batch)
        if size > MOST_ROWS_FETCHED and ranges[0].low < ranges[-1].high:
            await self._descend(ranges[0], size)
        else:
            self._suspects |= unequal_rows(*await both(side.hashes(ranges) for side in self._sides))
        if len(self._suspects) >= self._most:
            await self._settle()

    async def _settle(self) -> None:
        if self._excuse and self._suspects:
            known = await self._excuse(self._suspects)
            self.excused += len(known)
            self._suspects = {uuid: kind for uuid, kind in self._suspects.items() if uuid not in known}
        self.found |= await lasting(self._sides, self._suspects, self._settle_seconds, self._tell)
        self._suspects = {}


async def lasting(
    sides: Sequence[TableSide], suspects: dict[str, Kind], settle_seconds: float, tell: Progress
) -> dict[str, Kind]:
    """The suspects that still differ after ``settle_seconds`` from now; for 0 seconds, all of them at once."""
    deadline = time.monotonic() + settle_seconds
    pause = FIRST_PAUSE_SECONDS
    while suspects and time.monotonic() < deadline:
        tell(LOOK_AGAIN, 0, len(suspects))
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(2 * pause, MOST_PAUSE_SECONDS)
        suspects = await _look_again(sides, suspects)
    return suspects


async def _look_again(sides: Sequence[TableSide], uuids: Iterable[str]) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    remaining = iter(uuids)
    while some := list(islice(remaining, LOOK_AGAIN_ROWS)):
        found |= unequal_rows(*await both(side.hashes_of(some) for side in sides))
    return found


def unequal_parts(parts: Iterable[P], first: Sequence[Digest], second: Sequence[Digest]) -> list[tuple[P, int]]:
    """The parts of a table whose digests differ, and how many rows each of them holds."""
    return [(part, max(a.rows, b.rows)) for part, a, b in zip(parts, first, second, strict=True) if a != b]


def unequal_rows(first: dict[str, int], second: dict[str, int]) -> dict[str, Kind]:
    """How two sets of rows differ, given their hashes by uuid."""
    found: dict[str, Kind] = dict.fromkeys(first.keys() - second.keys(), "only_in_first")
    found |= dict.fromkeys(second.keys() - first.keys(), "only_in_second")
    found |= {uuid: "different" for uuid in first.keys() & second.keys() if first[uuid] != second[uuid]}
    return found


async def both(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Query both sides at the same time; if one fails, do not wait for the other."""
    # Do not use a TaskGroup: before Python 3.11.4, a failed one leaves its parent marked as cancelled, and the next
    # asyncio.timeout() of that task would end it silently.
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
