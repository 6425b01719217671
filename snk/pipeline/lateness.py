"""How late records come, and the delay that follows from it. Pure."""

import math
from dataclasses import dataclass, field

from snk.pipeline.schedule import percentile

STEP = 1.25
BUCKETS = 64
MOST_COUNTED = 1_000_000
"""Above so many records all counts are halved, so that what was long ago counts less and less."""
SHARE = 0.999


@dataclass(slots=True)
class Lateness:
    """How many records came how late after the end of their frame.

    Attributes:
        counts: the first is of records that were there when their frame was pulled; each further one is of those that
            came up to 1.25 times as late as those of the one before it.
    """

    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def in_time(self, records: int) -> None:
        """So many records were there when their frame was pulled."""
        self._add(0, records)

    def late(self, records: int, seconds: float) -> None:
        """So many records were found that long after the end of their frame."""
        self._add(min(BUCKETS - 1, max(1, math.ceil(math.log(max(seconds, 1.0), STEP)))), records)

    def delay(self, least: float, most: float) -> float:
        """The delay with which 99.9 % of all records are there when their frame is pulled.

        Args:
            least: the shortest delay; what comes within it cannot be told apart.
            most: the longest.
        """
        bucket = percentile(self.counts, SHARE)
        return min(max(least, STEP**bucket if bucket else 0.0), max(most, least))

    def _add(self, bucket: int, records: int) -> None:
        self.counts[bucket] += records
        if sum(self.counts) > MOST_COUNTED:
            self.counts = [count // 2 for count in self.counts]
