"""Which frame is pulled or pushed next. Pure: it follows from what is missing, never from a timer that has fired."""

from collections.abc import Sequence
from dataclasses import dataclass

from snk.core.intervals import Intervals
from snk.pipeline.frame import Grid

EMPTY_AGAIN_SECONDS = 30.0
"""After so long an empty frame is looked at again; one with records after twice as long."""


@dataclass(slots=True)
class Turns:
    """Whose turn it is: with ``oldest_share`` 0.25, every fourth is the oldest, and all others are the newest.

    A backlog must not delay the present, nor may the present starve the backlog.
    """

    oldest_share: float
    _owed: float = 0.0

    def choose(self, candidates: Intervals) -> int:
        """The next one of these numbers, of which there is at least one."""
        self._owed += self.oldest_share
        if self._owed >= 1.0:
            self._owed -= 1.0
            return candidates.pairs[0][0]
        return candidates.pairs[-1][1]


@dataclass(frozen=True, slots=True)
class Looking:
    """When frames are pulled, and pulled again.

    Attributes:
        grid: the frames.
        lookback: the age, in seconds since its end, at which a frame is looked at for the last time.
    """

    grid: Grid
    lookback: float

    def age(self, frame: int, now: float) -> float:
        """How long ago a frame ended."""
        return now - self.grid.start(frame + 1)

    def due(self, now: float, delay: float) -> Intervals:
        """All frames that have ended at least ``delay`` seconds ago."""
        return Intervals.of([(0, self.grid.ended(now - delay) - 1)])

    def final(self, age: float) -> bool:
        """Whether a look at this age is the last one."""
        return age >= self.lookback

    def next_age(self, age: float, *, empty: bool) -> float:
        """The age at which a frame is looked at again after a look at this age: ever more rarely, the last at the end.

        Each look comes at twice the age of the one before, so that a lookback of an hour costs seven of them.
        """
        first = EMPTY_AGAIN_SECONDS if empty else 2 * EMPTY_AGAIN_SECONDS
        return min(max(age + first, 2 * age), max(self.lookback, age))


def percentile(counts: Sequence[int], share: float) -> int:
    """The index up to which this share of all counts lies; 0 if there are none."""
    wanted = share * sum(counts)
    so_far = 0
    for index, count in enumerate(counts):
        so_far += count
        if so_far >= wanted:
            return index
    return 0
