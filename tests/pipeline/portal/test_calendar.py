"""The frames of a day as a calendar of minutes, however long a frame is."""

from datetime import UTC, date, datetime

import pytest

from snk.core.intervals import Intervals
from snk.pipeline.frame import Grid
from snk.pipeline.portal.calendar import day_named, day_of, listed
from snk.pipeline.states import Frames

DAY = date(2026, 11, 26)
BASE = int(datetime(2026, 11, 25, 22, 30, tzinfo=UTC).timestamp())
TODAY = date(2026, 11, 27)


def first(grid: Grid) -> int:
    """The frame in which the day starts."""
    return (int(datetime(2026, 11, 26, tzinfo=UTC).timestamp()) - grid.base) // grid.seconds


def test_every_minute_of_a_day_is_told_and_counted() -> None:
    grid = Grid(BASE)
    low = first(grid)
    due, done = Intervals.of([(0, low + 1439)]), Intervals.of([(0, low + 1400)])
    day = day_of(grid, Frames(due, done, aside=frozenset({low + 61})), DAY, TODAY)
    assert {kind.word: count for kind, count in day.counts if count} == {"done": 1400, "missing": 39, "quarantined": 1}
    assert day.drawn.count("<a class=") == 1440
    assert 'href="/frames/20261126T010100Z" title="01:01 quarantined"' in day.drawn
    assert 'title="23:20 done"' in day.drawn
    assert 'title="23:21 missing"' in day.drawn
    assert 'href="/?day=2026-11-26&amp;hour=1" aria-label="01 h: 59 done, 1 quarantined"' in day.drawn


@pytest.mark.parametrize("seconds", [1, 7, 90, 3600, 86_400])
def test_a_minute_is_as_bad_as_the_worst_frame_that_reaches_into_it(seconds: int) -> None:
    grid = Grid(BASE, seconds)
    bad = grid.ended(BASE + 36_000)
    day = day_of(
        grid, Frames(Intervals.of([(0, 10**6)]), Intervals.of([(0, 10**6)]), aside=frozenset({bad})), DAY, TODAY
    )
    assert sum(count for _, count in day.counts) >= 86_400 // seconds
    start, end = (datetime.fromtimestamp(grid.start(each), UTC) for each in (bad, bad + 1))
    minutes = sum(
        start < datetime(2026, 11, 26, at // 60, at % 60, 59, 10**6 - 1, tzinfo=UTC)
        and end > datetime(2026, 11, 26, at // 60, at % 60, tzinfo=UTC)
        for at in range(1440)
    )
    assert day.drawn.count('class="bad"') == minutes


def test_there_is_nothing_before_the_first_frame_and_no_day_after_today() -> None:
    grid = Grid(BASE)
    day = day_of(grid, Frames(Intervals.of([(0, 10)])), date(2026, 11, 25), date(2026, 11, 25))
    assert (day.before, day.after) == (None, None)
    assert sum(count for _, count in day.counts) == 90
    assert day.drawn.count("<i></i>") >= 30
    assert day_of(grid, Frames(), DAY, TODAY).before == date(2026, 11, 25)


def test_the_frames_of_an_hour_are_listed_up_to_a_number() -> None:
    told, more = listed(Grid(BASE), Frames(), DAY, 3)
    assert (told[0][:2], told[-1][1], len(told), more) == (("20261126T030000Z", "03:00:00"), "03:59:00", 60, 0)
    told, more = listed(Grid(BASE, 1), Frames(), DAY, 3)
    assert len(told) + more == 3600


@pytest.mark.parametrize("given", ["", "x", "2026-13-01", "<b>", "2026-11-26T00:00:00", "9999-12-31"])
def test_what_is_no_day_or_still_to_come_is_today(given: str) -> None:
    assert day_named(Grid(BASE), given, TODAY) == TODAY


def test_a_day_before_the_first_frame_is_the_first_day() -> None:
    assert day_named(Grid(BASE), "0001-01-01", TODAY) == date(2026, 11, 25)
