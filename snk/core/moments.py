"""Moments and durations, as people read them. Pure."""

from datetime import UTC, datetime

_STEPS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
_TENTHS_BELOW_SECONDS = 10


def stamp(at: datetime | str) -> str:
    """A moment, which has a zone or is written with one, to the second: ``2026-11-25T02:00:00Z``."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def lasted(seconds: float) -> str:
    """A duration by its two largest units: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h``, ``4 d 7 h``."""
    if seconds < _TENTHS_BELOW_SECONDS:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for size, unit, part, lesser in _STEPS:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {lesser}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
