"""Delays between retries of a failed operation."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter in its upper half, so that many clients do not retry at the same moment.

    Source: Marc Brooker, "Exponential Backoff And Jitter", 2015 ("equal jitter").
    """

    first_seconds: float = 0.1
    most_seconds: float = 5.0
    tries: int = 0

    def failed(self) -> "Backoff":
        """The backoff after one more failure."""
        return replace(self, tries=self.tries + 1)

    def wait_seconds(self, chance: float) -> float:
        """Seconds to wait, given a random number in [0, 1)."""
        ceiling = min(self.most_seconds, self.first_seconds * 2.0 ** min(self.tries, 30))
        return ceiling / 2 + ceiling / 2 * chance
