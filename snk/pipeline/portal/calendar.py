"""The frames of a day as a calendar of minutes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from markupsafe import Markup

from snk.http.portal.minutes import HOURS, MINUTES, Kind, Minutes, calendar
from snk.pipeline.frame import Grid, Portion
from snk.pipeline.states import CODE, STATES, Frames, State

DAY_SECONDS, MINUTE_SECONDS = 86_400, 60
MOST_LISTED = 240
"""Frames of one hour that are listed; of a minute, an hour has 60."""
SIGNS: dict[State, str] = {
    "not due": "·",
    "done": "✓",
    "late": "+",
    "pulled": "↓",
    "given up": "x",
    "missing": "?",
    "quarantined": "!",
}
LOOKS: dict[State, str] = {
    "not due": "",
    "done": "good",
    "late": "late",
    "pulled": "here",
    "given up": "gone",
    "missing": "warn",
    "quarantined": "bad",
}
KINDS = [Kind(state, SIGNS[state], LOOKS[state]) for state in STATES]
NOT_DUE = CODE["not due"]


@dataclass(frozen=True, slots=True)
class Day:
    """A day, and what became of its frames.

    Attributes:
        day: itself.
        counts: how many frames have each state.
        drawn: the calendar.
        before: the day before; None if the first frame comes after it.
        after: the day after; None if it is still to come.
    """

    day: date
    counts: Sequence[tuple[Kind, int]]
    drawn: Markup
    before: date | None
    after: date | None


def day_of(grid: Grid, frames: Frames, wanted: date, today: date) -> Day:
    """What became of the frames of a day."""
    low, high = _bounds(grid, _start(wanted), DAY_SECONDS)
    codes = bytes(frames.states(low, high))
    counts = [(kind, codes.count(CODE[state])) for state, kind in zip(STATES, KINDS, strict=True)]
    before = wanted - timedelta(days=1)
    after = wanted + timedelta(days=1) if wanted < today else None
    return Day(
        wanted, [*counts[1:], counts[0]], _drawn(grid, wanted, codes), before if before >= _first(grid) else None, after
    )


def listed(grid: Grid, frames: Frames, wanted: date, hour: int) -> tuple[list[tuple[str, str, Kind]], int]:
    """The frames of an hour, each with its name for addresses, its time and its state; and how many more there are."""
    low, high = _bounds(grid, _start(wanted) + hour * 3600, 3600)
    codes = frames.states(low, high)
    shown = range(low, min(high, low + MOST_LISTED))
    told = [(grid.name(Portion(each)), grid.iso(each)[11:19], KINDS[codes[each - low]]) for each in shown]
    return told, high - low - len(told)


def day_named(grid: Grid, given: str, today: date) -> date:
    """The day of an address such as ``2026-11-27``, from that of the first frame to today; today if it is none."""
    try:
        return max(_first(grid), min(date.fromisoformat(given), today))
    except ValueError:
        return today


def _first(grid: Grid) -> date:
    return datetime.fromtimestamp(grid.base, UTC).date()


def _start(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _bounds(grid: Grid, start: int, seconds: int) -> tuple[int, int]:
    """The first frame that reaches into a time, and the one after the last."""
    low = (start - grid.base) // grid.seconds
    high = -((grid.base - start - seconds) // grid.seconds)
    return max(0, low), max(0, high)


@lru_cache(maxsize=8)
def _drawn(grid: Grid, day: date, codes: bytes) -> Markup:
    """The calendar; it is drawn again when a frame has changed."""
    start, low = _start(day), _bounds(grid, _start(day), DAY_SECONDS)[0]
    told: list[int | None] = []
    for minute in range(HOURS * MINUTES):
        first, after = _bounds(grid, start + minute * MINUTE_SECONDS, MINUTE_SECONDS)
        told.append(max(codes[first - low : after - low], default=None))
    names = _names(grid, day)
    made = calendar(
        Minutes(KINDS, told, NOT_DUE),
        lambda minute: f"/frames/{names[minute]}",
        lambda hour: f"/?day={day}&hour={hour}",
    )
    return Markup(made)  # noqa: S704 - made there


@lru_cache(maxsize=8)
def _names(grid: Grid, day: date) -> list[str]:
    """The frame at each minute of a day."""
    start = _start(day)
    firsts = (_bounds(grid, start + minute * MINUTE_SECONDS, MINUTE_SECONDS)[0] for minute in range(HOURS * MINUTES))
    return [grid.name(Portion(first)) for first in firsts]
