"""Whether both sides of a table hold the same rows, and which they are that differ.

The whole table is digested on both sides at once; where the digests agree, that is all. Otherwise the uuids are split
into ranges, each is digested, and only those that differ are looked into, until they are small enough to fetch the
hash of every row. This is the descent of a Merkle tree that is computed on the way (as in Dynamo's anti-entropy,
DeCandia et al., 2007), with the leaves cut by uuid, for ids differ between the sides.

On a live pair rows are under way while they are compared. What looks different is therefore looked at again, by uuid,
until it is equal or has stayed different for a while.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from snk.db import catalog
from snk.db.engine import Server
from snk.db.shape import Shape, differences, faults
from snk.db.table import SyncedTable
from snk.verify.digest import Side
from snk.verify.ranges import UuidRange

ROWS_PER_PART = 2000
MOST_PARTS = 4096
MOST_ROWS_FETCHED = 10_000
MOST_DIFFERENCES = 200_000
LOOK_AGAIN_ROWS = 5000
FIRST_PAUSE_SECONDS = 0.05
MOST_PAUSE_SECONDS = 1.0

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Is told what is being done, how many parts of it are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows on each side when the comparison began."""

    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found.

    Attributes:
        only_in_first: uuids of rows that second lacks; sorted, as are the others.
        only_in_second: uuids of rows that first lacks.
        different: uuids that both have, with different rows.
        complete: False when there were so many differences that the search was broken off.
        seconds: how long it took.
    """

    table: str
    rows: Counts
    only_in_first: tuple[str, ...]
    only_in_second: tuple[str, ...]
    different: tuple[str, ...]
    complete: bool
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same rows."""
        return self.complete and not (self.only_in_first or self.only_in_second or self.different)


async def compare(
    first: Server, second: Server, table: str, *, settle_seconds: float = 5.0, progress: Progress | None = None
) -> Comparison:
    """Compare both sides of a table.

    Args:
        first: database A.
        second: database B.
        table: by the name in the settings.
        settle_seconds: a difference that lasts so long is reported; 0 reports what one look sees.
        progress: is told how it goes.

    Raises:
        Unavailable: a server cannot be reached.
        PairUnfit, TableUnfit: the table cannot be compared.
    """
    began = time.monotonic()
    tell = progress or (lambda *_: None)
    async with _sides(first, second, table) as (name, sides):
        tell("digest", 0, 1)
        whole = await _both(side.whole() for side in sides)
        suspects, complete = set[str](), True
        if whole[0] != whole[1]:
            suspects, complete = await Search(sides, tell).run(max(digest.rows for digest in whole))
        found = await _settled(sides, suspects, settle_seconds, tell)
    return Comparison(
        table=name,
        rows=Counts(*(digest.rows for digest in whole)),
        only_in_first=_of_kind(found, "only_in_first"),
        only_in_second=_of_kind(found, "only_in_second"),
        different=_of_kind(found, "different"),
        complete=complete,
        seconds=time.monotonic() - began,
    )


KINDS = ("only_in_first", "only_in_second", "different")


class Search:
    """The descent into the ranges that differ."""

    def __init__(self, sides: list[Side], tell: Progress) -> None:
        self._sides = sides
        self._tell = tell
        self._suspects: set[str] = set()

    async def run(self, rows: int) -> tuple[set[str], bool]:
        """The uuids of rows that differ, and whether these are all."""
        ends = [end for end in await _both(side.ends() for side in self._sides) if end]
        if ends:
            await self._descend(ends[0] | ends[-1], rows)
        return self._suspects, len(self._suspects) < MOST_DIFFERENCES

    async def _descend(self, whole: UuidRange, rows: int) -> None:
        parts = whole.split(max(2, min(rows // ROWS_PER_PART, MOST_PARTS)))
        first, second = await _both(side.parts(parts) for side in self._sides)
        unequal = [(part, max(a.rows, b.rows)) for part, a, b in zip(parts, first, second, strict=True) if a != b]
        for at, (part, size) in enumerate(unequal):
            self._tell("narrow down", at, len(unequal))
            if len(self._suspects) >= MOST_DIFFERENCES:
                return
            if size <= MOST_ROWS_FETCHED or part.low == part.high:
                self._suspects |= _unequal(*await _both(side.hashes(part) for side in self._sides)).keys()
            else:
                await self._descend(part, size)


async def _settled(sides: list[Side], suspects: Iterable[str], settle_seconds: float, tell: Progress) -> dict[str, str]:
    """Look again at what looked different, until it no longer does or time is up."""
    deadline = time.monotonic() + settle_seconds
    pause = FIRST_PAUSE_SECONDS
    found = await _look_at(sides, sorted(suspects))
    while found and time.monotonic() < deadline:
        tell("look again", 0, len(found))
        await asyncio.sleep(pause)
        pause = min(2 * pause, MOST_PAUSE_SECONDS)
        found = await _look_at(sides, list(found))
    return found


async def _look_at(sides: list[Side], uuids: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for at in range(0, len(uuids), LOOK_AGAIN_ROWS):
        some = uuids[at : at + LOOK_AGAIN_ROWS]
        found |= _unequal(*await _both(side.hashes_of(some) for side in sides))
    return found


def _of_kind(found: dict[str, str], kind: str) -> tuple[str, ...]:
    return tuple(sorted(uuid for uuid, found_kind in found.items() if found_kind == kind))


def _unequal(first: dict[str, int], second: dict[str, int]) -> dict[str, str]:
    """The kind of each difference between two sets of hashes."""
    found = dict.fromkeys(first.keys() - second.keys(), "only_in_first")
    found |= dict.fromkeys(second.keys() - first.keys(), "only_in_second")
    found |= {uuid: "different" for uuid in first.keys() & second.keys() if first[uuid] != second[uuid]}
    return found


async def _both(coroutines: Iterable[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*coroutines))


@asynccontextmanager
async def _sides(first: Server, second: Server, table: str) -> AsyncIterator[tuple[str, list[Side]]]:
    shapes = [await _shape(server, table) for server in (first, second)]
    found = [
        fault for server, shape in zip((first, second), shapes, strict=True) for fault in faults(shape, server.label)
    ]
    for fault in found or differences(*shapes):
        raise fault
    async with first.connect() as one, second.connect() as other:
        connections = zip((first, second), (one, other), shapes, strict=True)
        yield shapes[0].full_name, [Side(server, line, SyncedTable.of(shape)) for server, line, shape in connections]


async def _shape(server: Server, table: str) -> Shape:
    async with server.begin() as connection:
        return await catalog.table_shape(connection, table, server.label)
