"""How a pass over a table spares the server: statements that are short, and a rest after each of them."""

from dataclasses import dataclass

SLICE_SECONDS = 0.025
FIRST_ROWS = 2000
LEAST_ROWS = 200
MOST_ROWS = 50_000
MOST_REST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Stride:
    """How many rows the next slice of a table is to hold, so that its statement takes about `SLICE_SECONDS`.

    It never more than doubles or halves: one statement that had to wait says little about the next.
    """

    rows: int = FIRST_ROWS

    def after(self, seconds: float) -> "Stride":
        """The stride after a slice that took so long."""
        factor = min(2.0, max(0.5, SLICE_SECONDS / max(seconds, 1e-6)))
        return Stride(max(LEAST_ROWS, min(MOST_ROWS, int(self.rows * factor))))


def rest_seconds(worked_seconds: float, share: float) -> float:
    """How long to rest after so much work, so that the work takes this share of the time.

    Bounded: a statement that lasted has mostly waited.
    """
    return min(MOST_REST_SECONDS, worked_seconds * (1 / share - 1))
