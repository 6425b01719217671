"""Moments have a zone, and durations are short."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from snk.core.moments import lasted, stamp


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 25, 2, 0, 0, 999_999, UTC),
        datetime(2026, 11, 25, 3, tzinfo=timezone(timedelta(hours=1))),
        "2026-11-25T02:00:00.5+00:00",
        "2026-11-25T02:00:00Z",
    ],
)
def test_a_moment_is_told_in_utc_and_says_so(at: datetime | str) -> None:
    assert stamp(at) == "2026-11-25T02:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-0.1, "0.0 s"),
        (0.44, "0.4 s"),
        (12.4, "12 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7_850, "2 h 10 min"),
        (4 * 86_400 + 7 * 3600, "4 d 7 h"),
    ],
)
def test_a_duration_is_told_by_its_two_largest_units(seconds: float, expected: str) -> None:
    assert lasted(seconds) == expected
