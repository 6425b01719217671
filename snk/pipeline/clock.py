"""The clock of the source, which decides whether a frame is over; ours may be wrong."""

import email.utils
import time
from dataclasses import dataclass

APART_SECONDS = 5.0
"""Clocks that differ by more deserve a warning."""


@dataclass(frozen=True, slots=True)
class Sent:
    """When a request was sent, by two clocks of this machine."""

    wall: float
    steady: float

    @classmethod
    def now(cls) -> "Sent":
        """This moment."""
        return cls(time.time(), time.monotonic())


class SourceClock:
    """What is known of the clock of the source from the header ``Date`` of its answers.

    Attributes:
        ahead: by how many seconds it is ahead of ours, as far as the last answer tells; None before the first.
        known: whether an answer has come: only then is it known how old a frame is.
    """

    def __init__(self) -> None:
        self.ahead: float | None = None
        self.known = False
        self._least: tuple[float, float] | None = None

    def now(self) -> float:
        """Seconds since the epoch that it has reached at least; before the first answer, our own clock."""
        if self._least is None:
            return time.time()
        told, at = self._least
        return told + (time.monotonic() - at)

    def when_sent(self, sent: Sent, date: str | None) -> float:
        """What it showed at least when a request was sent, whose answer has just come.

        ``Date`` is cut to whole seconds and was written some time between the request and now, so it was at least that
        much earlier when the request was sent. What is known better from answers before stays, as long as it fits:
        otherwise a frame that is due would not be due any more when its answer has come.
        """
        told = _seconds(date)
        self.known = True
        if told is None:
            return sent.wall
        passed = time.monotonic() - sent.steady
        if self._least is None or not told <= self.now() < told + 1.0 + passed:
            self._least = (told, time.monotonic())
        self.ahead = told + 0.5 - (sent.wall + passed / 2)
        return self.now() - passed

    @property
    def warning(self) -> str:
        """What is wrong with the clocks; empty if nothing is."""
        if self.ahead is None or abs(self.ahead) <= APART_SECONDS:
            return ""
        return f"the clock of the source is {abs(self.ahead):.0f} s {'ahead of' if self.ahead > 0 else 'behind'} ours"


def _seconds(date: str | None) -> float | None:
    """A date of HTTP in seconds since the epoch; None if it is none."""
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() if date else None
    except (TypeError, ValueError, OverflowError):
        return None
