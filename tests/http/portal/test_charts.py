"""Charts, samples and numbers, as values."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snk.http.portal import units
from snk.http.portal.charts import MOST_POINTS, Line, lines, short
from snk.http.portal.history import HOUR_SECONDS, History

NOW = 1_800_000_000.0
values = st.floats(min_value=0, max_value=1e12, allow_nan=False)


@example([(0.0, 5e-324)])
@given(st.lists(st.tuples(st.floats(min_value=-2 * HOUR_SECONDS, max_value=0), values), max_size=2000))
def test_every_point_of_the_time_shown_is_within_the_chart(points: list[tuple[float, float]]) -> None:
    drawn = [Line("one", [(NOW + at, value) for at, value in sorted(points)], "one")]
    root = ET.fromstring(lines("any", drawn, now=NOW, seconds=HOUR_SECONDS))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for line in root.findall("polyline"):
        told = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert 0 < len(told) <= MOST_POINTS + 1
        assert all(0 <= x <= width + 0.1 and -0.1 <= y <= height for x, y in told)


def test_the_greatest_value_is_never_thinned_away() -> None:
    points = [(NOW - HOUR_SECONDS + at, 1.0) for at in range(0, 3600, 5)]
    points[377] = (points[377][0], 900.0)
    text = lines("any", [Line("one", points, "one")], now=NOW, seconds=HOUR_SECONDS)
    lowest = min(float(y) for y in re.findall(r"[\d.]+,([\d.]+)", text))
    assert lowest < 30, "a peak of one sample reaches nearly to the top"


def test_names_in_a_chart_are_text() -> None:
    text = lines("<b>", [Line("</title><script>", [(NOW, 1.0)], "one")], now=NOW, seconds=60, unit="&")
    assert "<script>" not in text
    ET.fromstring(text)


@given(st.lists(st.floats(min_value=0.1, max_value=600), min_size=1, max_size=300))
def test_samples_are_kept_for_an_hour(gaps: list[float]) -> None:
    history, at = History(), NOW
    for gap in gaps:
        at += gap
        history.add(at, {"rate": gap})
    kept = [when for when, _ in history.series("rate")]
    assert kept == sorted(kept)
    assert kept[-1] == at
    assert at - kept[0] <= HOUR_SECONDS
    assert history.series("other") == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (3.44, "3.4 s"),
        (59.9, "60 s"),
        (600, "10 min"),
        (7200, "2 h"),
        (3e5, "3 days"),
    ],
)
def test_lengths_of_time_are_told_in_one_unit(value: float | None, text: str) -> None:
    assert units.seconds(value) == text


@given(values)
def test_numbers_on_an_axis_are_short(value: float) -> None:
    assert len(short(value)) <= 9
