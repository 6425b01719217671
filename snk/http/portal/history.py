"""What was measured in the last hour, at equal intervals. Pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

HOUR_SECONDS = 3600.0
LEAST_SECONDS = 180.0
EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured at one moment.

    Attributes:
        at: seconds since the epoch.
        values: by name.
    """

    at: float
    values: dict[str, float]


@dataclass(slots=True)
class History:
    """The samples, the oldest first.

    Attributes:
        every_seconds: between two samples.
    """

    every_seconds: float = EVERY_SECONDS
    samples: deque[Sample] = field(default_factory=deque)

    def add(self, at: float, values: dict[str, float]) -> None:
        """Add a sample, and forget those that are older than an hour, or later than this one: a clock was set back."""
        while self.samples and self.samples[-1].at > at:
            self.samples.pop()
        self.samples.append(Sample(at, values))
        while at - self.samples[0].at > HOUR_SECONDS:
            self.samples.popleft()

    @property
    def seconds(self) -> float:
        """The time that a chart of all samples covers: an hour at most, some minutes at least."""
        held = self.samples[-1].at - self.samples[0].at if self.samples else 0.0
        return min(HOUR_SECONDS, max(LEAST_SECONDS, held))

    def series(self, name: str) -> Sequence[tuple[float, float]]:
        """One of the values: when, and how much."""
        return [(sample.at, sample.values[name]) for sample in self.samples if name in sample.values]
