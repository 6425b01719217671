"""Ranges of uuids, as 128-bit numbers, whose order is PostgreSQL's order of uuids."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UuidRange:
    """All uuids from low to high, both inclusive."""

    low: int
    high: int

    @classmethod
    def of(cls, low: str, high: str) -> Self:
        """The range between two uuids as text."""
        return cls(UUID(low).int, UUID(high).int)

    @property
    def low_text(self) -> str:
        """The lower end as text."""
        return str(UUID(int=self.low))

    @property
    def high_text(self) -> str:
        """The upper end as text."""
        return str(UUID(int=self.high))

    def __or__(self, other: Self) -> Self:
        """The smallest range that contains both."""
        return type(self)(min(self.low, other.low), max(self.high, other.high))

    def split(self, parts: int) -> list[Self]:
        """Split into adjacent ranges of about the same width; fewer than ``parts`` if it contains fewer uuids.

        The split is by width, not by prefix: uuids that begin with a time share long prefixes, but are spread between
        the first and the last of them.
        """
        width = self.high - self.low + 1
        parts = max(1, min(parts, width))
        starts = [self.low + width * at // parts for at in range(parts)]
        return [type(self)(start, end - 1) for start, end in zip(starts, [*starts[1:], self.high + 1], strict=True)]


ALL = UuidRange(0, 2**128 - 1)
"""The range of all possible uuids."""

Batch = list[tuple[UuidRange, int]]
"""Ranges, and how many rows each of them holds."""


def batches(parts: Iterable[tuple[UuidRange, int]], most_rows: int) -> Iterator[Batch]:
    """Group ranges, in their order, into batches of at most ``most_rows`` rows; a larger range forms its own batch."""
    batch: Batch = []
    size = 0
    for part, rows in parts:
        if batch and size + rows > most_rows:
            yield batch
            batch, size = [], 0
        batch.append((part, rows))
        size += rows
    if batch:
        yield batch
