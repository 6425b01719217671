"""Ranges of uuids, as the 128-bit numbers by which PostgreSQL orders them."""

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
        """The least range that holds both."""
        return type(self)(min(self.low, other.low), max(self.high, other.high))

    def split(self, parts: int) -> list[Self]:
        """Adjacent ranges of about the same width that make up this one; fewer, if it holds fewer uuids.

        Equal in width, not in prefix: uuids that begin with a time share long prefixes, yet spread between the first
        and the last of them.
        """
        width = self.high - self.low + 1
        parts = max(1, min(parts, width))
        starts = [self.low + width * at // parts for at in range(parts)]
        return [type(self)(start, end - 1) for start, end in zip(starts, [*starts[1:], self.high + 1], strict=True)]


ALL = UuidRange(0, 2**128 - 1)
"""Every uuid there can be."""

Batch = list[tuple[UuidRange, int]]
"""Ranges, and how many rows each of them holds."""


def batches(parts: Iterable[tuple[UuidRange, int]], most_rows: int) -> Iterator[Batch]:
    """Ranges put together, in their order, as long as they hold so many rows at most; a larger one stays alone."""
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
