"""Frames that failed, and when each is tried again. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from snk.core.backoff import Backoff
from snk.core.intervals import Intervals


@dataclass(slots=True)
class Failure:
    """What is wrong with one frame.

    Attributes:
        reason: of the last failure.
        until: when it is tried again, in seconds of the caller's clock.
        backoff: the delays.
    """

    reason: str
    until: float
    backoff: Backoff


@dataclass(slots=True)
class Failing:
    """The frames that failed."""

    first_seconds: float = 1.0
    most_seconds: float = 300.0
    _frames: dict[int, Failure] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[int, Failure]]:
        return iter(self._frames.items())

    def __len__(self) -> int:
        return len(self._frames)

    def failed(self, frame: int, reason: str, now: float, chance: float) -> None:
        """A frame failed once more."""
        before = self._frames.get(frame)
        backoff = before.backoff if before else Backoff(self.first_seconds, self.most_seconds)
        self._frames[frame] = Failure(reason, now + backoff.wait_seconds(chance), backoff.failed())

    def over(self, frame: int) -> None:
        """A frame is well again."""
        self._frames.pop(frame, None)

    def hurry(self) -> None:
        """The server works again: all are due at once."""
        for failure in self._frames.values():
            failure.until = float("-inf")

    def held(self, now: float) -> Intervals:
        """The frames that are not tried yet."""
        return Intervals.of((frame, frame) for frame, failure in self._frames.items() if failure.until > now)

    def next(self) -> float | None:
        """When the next of them is tried again; None if there is none."""
        return min((failure.until for failure in self._frames.values()), default=None)
