"""Sets of integers, stored as intervals.

Holes in a sequence form runs (a rolled-back batch, a long transaction), so a few pairs of bounds represent millions of
ids.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import chain, pairwise
from operator import or_, sub
from typing import Self


@dataclass(frozen=True, slots=True)
class Intervals:
    """An immutable set of ints: sorted pairs ``(low, high)``, both inclusive, that neither touch nor overlap."""

    pairs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Self:
        """The union of pairs in any order; a pair whose low exceeds its high is empty."""
        merged: list[tuple[int, int]] = []
        for low, high in sorted(pair for pair in pairs if pair[0] <= pair[1]):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        return cls(tuple(merged))

    @classmethod
    def between(cls, low: int, ids: Iterable[int]) -> Self:
        """The ids that are missing above ``low`` in an ascending run of ids, up to the last of them."""
        gaps: list[tuple[int, int]] = []
        for i in ids:
            if i > low + 1:
                gaps.append((low + 1, i - 1))
            low = i
        return cls(tuple(gaps))

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __len__(self) -> int:
        """The number of ids in the set, not of intervals."""
        return sum(high - low + 1 for low, high in self.pairs)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.pairs:
            yield from range(low, high + 1)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.pairs, number, key=lambda pair: pair[0]) - 1
        return at >= 0 and number <= self.pairs[at][1]

    def __or__(self, other: Self) -> Self:
        if not other.pairs:
            return self
        if not self.pairs:
            return other
        # Ids arrive in roughly ascending order: the pairs below all pairs of the other set need no merging.
        at = bisect_left(self.pairs, other.pairs[0][0] - 1, key=lambda pair: pair[1])
        return type(self)((*self.pairs[:at], *type(self).of((*self.pairs[at:], *other.pairs)).pairs))

    def __sub__(self, other: Self) -> Self:
        if not self.pairs or not other.pairs:
            return self
        left: list[tuple[int, int]] = []
        cuts = other.pairs
        at = 0
        for pair in self.pairs:
            low, high = pair
            while at < len(cuts) and cuts[at][1] < low:
                at += 1
            cut = at
            while cut < len(cuts) and cuts[cut][0] <= high:
                if cuts[cut][0] > low:
                    left.append((low, cuts[cut][0] - 1))
                low = max(low, cuts[cut][1] + 1)
                cut += 1
            if low <= high:
                left.append((low, high))
        return type(self)(tuple(left))

    def without(self, ids: Iterable[int]) -> Self:
        """This set without the given ids, which may be in any order."""
        return self - type(self).of((i, i) for i in ids)

    def up_to(self, bound: int) -> Self:
        """The part at or below ``bound``."""
        return type(self)(tuple((low, min(high, bound)) for low, high in self.pairs if low <= bound))

    def above(self, bound: int) -> Self:
        """The part above ``bound``."""
        return type(self)(tuple((max(low, bound + 1), high) for low, high in self.pairs if high > bound))

    def first(self, pairs: int, ids: int) -> Self:
        """The lowest intervals: at most ``pairs`` of them with at most ``ids`` ids, but always at least one."""
        held = 0
        for count, (low, high) in enumerate(self.pairs[:pairs]):
            held += high - low + 1
            if count and held > ids:
                return type(self)(self.pairs[:count])
        return self if len(self.pairs) <= pairs else type(self)(self.pairs[:pairs])

    def coarse(self, limit: int) -> Self:
        """A superset of at most ``limit`` intervals, made by closing the narrowest gaps first.

        For holes a superset is safe: an id that was already delivered is read once more, and the unique key on uuid
        filters the row out.
        """
        if len(self.pairs) <= limit:
            return self
        lows, highs = zip(*self.pairs, strict=True)
        gaps = list(map(sub, lows[1:], highs))
        narrow = sorted(gaps)[len(self.pairs) - limit - 1]  # the widest gap to close
        kept = [at for at, gap in enumerate(gaps) if gap > narrow]
        if room := limit - 1 - len(kept):
            kept = sorted(kept + [at for at, gap in enumerate(gaps) if gap == narrow][-room:])
        starts = (lows[0], *(lows[at + 1] for at in kept))
        ends = (*(highs[at] for at in kept), highs[-1])
        return type(self)(tuple(zip(starts, ends, strict=True)))


NOTHING = Intervals()


def union(sets: Iterable[Intervals]) -> Intervals:
    """The union of the sets; it is cheap where they lie one above the other."""
    held = sorted((each for each in sets if each.pairs), key=lambda each: each.pairs[0])
    if all(below.pairs[-1][1] + 1 < above.pairs[0][0] for below, above in pairwise(held)):
        return held[0] if len(held) == 1 else Intervals(tuple(chain.from_iterable(each.pairs for each in held)))
    return reduce(or_, held, NOTHING)
