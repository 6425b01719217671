"""Frames: the time from the base to now, cut into pieces of equal length. Pure.

A frame is the half-open window [start, end): a record at its end belongs to the next one. Frames are counted in UTC, so
no change of a clock makes one longer, shorter or ambiguous.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_NAME = re.compile(r"(\d{8}T\d{6}Z)(?:\.([1-9]\d*))?", re.ASCII)
_FORM = "%Y%m%dT%H%M%SZ"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Portion:
    """What is pulled, pushed and proven at once: a frame, or a supplement of it with records that came late.

    Attributes:
        frame: its number, counted from the base.
        part: 0 is the frame itself; supplements count from 1.
    """

    frame: int
    part: int = 0


@dataclass(frozen=True, slots=True)
class Grid:
    """The frames.

    Attributes:
        base: where the first one starts, in seconds since the epoch.
        seconds: the length of each.
    """

    base: int
    seconds: int = 60

    def start(self, frame: int) -> int:
        """Where a frame starts, in seconds since the epoch; where the one before it ends."""
        return self.base + frame * self.seconds

    def ended(self, now: float) -> int:
        """How many frames have ended by a moment; 0 before the end of the first."""
        return max(0, int((now - self.base) // self.seconds))

    def iso(self, frame: int) -> str:
        """Where a frame starts, as RFC 3339 has it: ``2026-11-25T00:00:00Z``."""
        return written(self.start(frame))

    def name(self, portion: Portion) -> str:
        """A name for files: ``20261125T000000Z``, or ``20261125T000000Z.1`` for its first supplement."""
        name = f"{moment(self.start(portion.frame)):{_FORM}}"
        return f"{name}.{portion.part}" if portion.part else name

    def portion(self, name: str) -> Portion | None:
        """What a name stands for; None if it is no name of a frame of this grid."""
        found = _NAME.fullmatch(name)
        if not found:
            return None
        try:
            at = int(datetime.strptime(found[1], _FORM).replace(tzinfo=UTC).timestamp())
        except ValueError:
            return None
        frame, rest = divmod(at - self.base, self.seconds)
        return None if rest or frame < 0 else Portion(frame, int(found[2] or 0))


def moment(at: float) -> datetime:
    """Seconds since the epoch as a date and time in UTC."""
    return _EPOCH + timedelta(seconds=at)


def written(at: float) -> str:
    """Seconds since the epoch as RFC 3339 has it, without a fraction."""
    return f"{moment(at):%Y-%m-%dT%H:%M:%SZ}"
