"""Timelines and bars, as they are drawn."""

import re

from snk.http.portal.spans import WIDTH, Bar, Lane, Span, bars, timeline

HOSTILE = "<script>&\"'"


def rects(drawn: str) -> list[tuple[str, float, float]]:
    """Look, left edge and width of each span."""
    found = re.findall(r'<rect class="bar (\w+)" x="([\d.]+)" width="([\d.]+)"', drawn)
    return [(look, float(x), float(width)) for look, x, width in found]


def test_what_lasts_still_reaches_to_the_right_edge() -> None:
    lanes = [Lane("run", [Span(0.0, 25.0, "soft", "waited"), Span(25.0, None, "live", "runs")])]
    assert rects(timeline("Run 1", lanes, now=100.0)) == [("soft", 0.0, WIDTH / 4), ("live", WIDTH / 4, WIDTH * 3 / 4)]


def test_a_timeline_of_what_is_over_ends_with_it() -> None:
    lanes = [Lane("run", [Span(100.0, 150.0, "good", "")]), Lane("call", [Span(149.999, 150.0, "good", "")])]
    drawn = rects(timeline("Run 1", lanes, now=9999.0))
    # The last one is seen, and within the drawing.
    assert drawn == [("good", 0.0, float(WIDTH)), ("good", WIDTH - 3.0, 3.0)]


def test_nothing_can_be_drawn() -> None:
    assert not rects(timeline("Nothing", [], now=100.0))
    assert not rects(timeline("Nothing", [Lane("empty", [])], now=100.0))
    assert "<svg" in bars("Nothing", [])


def test_names_are_text() -> None:
    drawn = timeline(HOSTILE, [Lane(HOSTILE, [Span(0, 1, "good", HOSTILE)])], now=2) + bars(
        HOSTILE, [Bar(1, "good", HOSTILE)]
    )
    assert "<script>" not in drawn


def test_few_bars_stand_on_the_right_and_the_greatest_is_the_highest() -> None:
    drawn = bars("How long", [Bar(0.0, "good", "none"), Bar(5.0, "good", "half"), Bar(10.0, "bad", "whole")])
    heights = [float(each) for each in re.findall(r'height="([\d.]+)"><title>', drawn)]
    assert (heights[1], heights[2]) == (30.0, 60.0)
    assert 0 < heights[0] < 5
    assert max(float(x) for x in re.findall(r' x="([\d.]+)"', drawn)) == 582.0


def test_the_clock_is_as_exact_as_the_time_is_short() -> None:
    for seconds, says in ((2.0, "00:00:02.0"), (60.0, "00:01:00"), (7200.0, "02:00"), (200_000.0, "03 Jan 07:33")):
        assert f"<span>{says}</span></div>" in timeline("Run", [Lane("run", [Span(0, seconds, "good", "")])], now=1.0)
