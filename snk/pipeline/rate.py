"""Records per second, of late. Pure."""

from dataclasses import dataclass

WEIGHT = 0.3
"""Of the last second; the rest is of those before it, so that the figure neither jumps nor lags."""


@dataclass(slots=True)
class Rate:
    """An exponentially weighted average over looks in equal intervals."""

    _count: int = 0
    _at: float | None = None
    _rate: float = 0.0

    def of(self, count: int, now: float) -> float:
        """The rate, given how many there were in all until now, in seconds of a clock that never goes back."""
        if self._at is not None and now > self._at:
            self._rate += WEIGHT * ((count - self._count) / (now - self._at) - self._rate)
        self._count, self._at = count, now
        return round(self._rate, 1)
