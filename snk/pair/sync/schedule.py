"""How often the tables of a daemon are swept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SweepSchedule:
    """How often a table is swept, and with how much of a processor on each side.

    Attributes:
        every_seconds: from the end of a sweep to the next; 0 for none but where there is reason for one.
        share: of one processor, for all tables together.
        settle_seconds: what differs for so long is not under way.
    """

    every_seconds: float = 300.0
    share: float = 0.2
    settle_seconds: float = 5.0
