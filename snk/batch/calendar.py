"""When a calendar triggers: cron lines in a time zone.

Around a change of the clocks it does what Debian's cron does (cronsim): a time that does not exist is made up for at
once, and one that comes twice counts once, unless the line means every hour or minute.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

JUST_BEFORE = timedelta(microseconds=1)


def zone_of(name: str) -> ZoneInfo:
    """A time zone.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise ValueError("it is no time zone; write one such as Europe/Berlin") from None


@dataclass(frozen=True)
class Calendar:
    """One cron line.

    Attributes:
        cron: five fields, such as ``0 2 * * 1-5``.
        zone: a name of the time zone database, such as ``Europe/Berlin``.
    """

    cron: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            ValueError: which field is wrong.
        """
        _check(self.cron, self._zone)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return zone_of(self.zone)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The ticks after a moment, in UTC; none if there is none in the next fifty years."""
        for tick in CronSim(self.cron, moment.astimezone(self._zone)):
            at = tick.astimezone(UTC)  # first: times of one zone are compared by what their clocks show
            if at > moment:  # in an hour that comes twice, the library also tells one of the first time
                yield at

    def between(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """The ticks after a moment and not after another one: the oldest ones, if there are more than so many."""
        found = []
        for tick in islice(self.after(after), most):
            if tick > until:
                break
            found.append(tick)
        return found

    def newest(self, since: datetime, until: datetime, most: int) -> list[datetime]:
        """The ticks from one moment to another, both among them: the newest ones, if there are more than so many.

        It looks back ever further, so that years in which nobody looked cost no more than the ticks that are wanted.
        """
        span = timedelta(hours=1)
        while True:
            start = max(since, until - span)
            found = self.between(start - JUST_BEFORE, until, sys.maxsize)
            if len(found) >= most or start == since:
                return found[-most:]
            span *= 8

    def within(self, start: datetime, end: datetime, most: int) -> list[datetime]:
        """The ticks from a moment on, and before another one: the oldest ones, if there are more than so many."""
        return self.between(start - JUST_BEFORE, end - JUST_BEFORE, most)


@lru_cache(maxsize=4096)
def _check(cron: str, zone: ZoneInfo) -> None:
    """Refuse what is no cron line; many tasks have the same one."""
    try:
        next(CronSim(cron, datetime(2026, 1, 1, tzinfo=zone)), None)
    except CronSimError as error:
        raise ValueError(f"it is no cron line: {error}") from None
