"""How often a daemon sweeps its tables."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SweepSchedule:
    """How often a table is swept, and how much processor time sweeps may use on each side.

    Attributes:
        every_seconds: from the end of a sweep to the next; 0 to sweep only when there is a reason.
        share: share of one processor, for all tables together.
        settle_seconds: a difference that lasts this long is not a row in transit.
    """

    every_seconds: float = 300.0
    share: float = 0.2
    settle_seconds: float = 5.0
