"""The delay follows the lateness of 99.9 % of all records."""

from hypothesis import given
from hypothesis import strategies as st

from snk.pipeline.lateness import MOST_COUNTED, STEP, Lateness

late = st.lists(st.tuples(st.integers(1, 100), st.floats(0, 1_000_000)), max_size=20)


def test_without_late_records_the_delay_is_the_shortest() -> None:
    lateness = Lateness()
    assert lateness.delay(30.0, 3600.0) == 30.0
    lateness.in_time(1_000)
    assert lateness.delay(30.0, 3600.0) == 30.0


@given(late, st.integers(0, 10_000))
def test_999_of_1000_records_are_there_after_the_delay(records: list[tuple[int, float]], in_time: int) -> None:
    lateness = Lateness()
    lateness.in_time(in_time)
    for count, seconds in records:
        lateness.late(count, seconds)
    delay = lateness.delay(0.0, 10_000_000.0)
    total = in_time + sum(count for count, _ in records)
    there = in_time + sum(count for count, seconds in records if seconds <= delay * (1 + 1e-9) or seconds <= 1)
    assert there >= 0.999 * total - 1e-6
    latest = max((seconds for _, seconds in records), default=0.0)
    assert delay <= max(latest, 1.0) * STEP * (1 + 1e-9), "it is not much longer than needed"


@given(late, st.floats(0, 1_000), st.floats(0, 1_000))
def test_the_delay_keeps_to_its_bounds(records: list[tuple[int, float]], least: float, most: float) -> None:
    lateness = Lateness()
    for count, seconds in records:
        lateness.late(count, seconds)
    assert least <= lateness.delay(least, most) <= max(least, most)


def test_one_record_in_a_thousand_may_be_later() -> None:
    lateness = Lateness()
    lateness.in_time(999)
    lateness.late(1, 500.0)
    assert lateness.delay(0.0, 3600.0) == 0.0
    lateness.late(1, 500.0)
    assert 500.0 <= lateness.delay(0.0, 3600.0) <= 500.0 * STEP


def test_what_was_long_ago_counts_less_and_less() -> None:
    lateness = Lateness()
    lateness.late(1_000, 500.0)
    for _ in range(40):
        lateness.in_time(MOST_COUNTED // 4)
    assert sum(lateness.counts) <= MOST_COUNTED
    assert lateness.delay(0.0, 3600.0) == 0.0
