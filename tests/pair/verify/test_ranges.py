"""Ranges of uuids: splitting and batching lose nothing and count nothing twice."""

from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from snk.pair.verify.ranges import ALL, UuidRange, batches

numbers = st.one_of(st.integers(0, 2**128 - 1), st.integers(0, 100))
ranges = st.tuples(numbers, numbers).map(lambda ends: UuidRange(min(ends), max(ends)))


@given(ranges, st.integers(1, 5000))
def test_parts_cover_a_range_without_gap_or_overlap(whole: UuidRange, count: int) -> None:
    parts = whole.split(count)
    assert parts[0].low == whole.low
    assert parts[-1].high == whole.high
    assert all(part.low <= part.high for part in parts)
    assert all(a.high + 1 == b.low for a, b in pairwise(parts))


@given(ranges, st.integers(1, 5000))
def test_parts_are_as_many_as_wanted_and_of_the_same_width(whole: UuidRange, count: int) -> None:
    parts = whole.split(count)
    widths = {part.high - part.low for part in parts}
    assert len(parts) == min(count, whole.high - whole.low + 1)
    assert max(widths) - min(widths) <= 1


@given(numbers, numbers)
def test_numbers_are_ordered_as_their_uuids_are_written(a: int, b: int) -> None:
    one, other = UuidRange(a, a), UuidRange(b, b)
    assert (one.low < other.low) == (one.low_text < other.low_text)
    assert UuidRange.of(one.low_text, one.high_text) == one


@given(ranges, ranges)
def test_union_is_the_least_range_that_holds_both(a: UuidRange, b: UuidRange) -> None:
    assert {(a | b).low, (a | b).high} <= {a.low, b.low, a.high, b.high}
    assert (a | b).low <= min(a.low, b.low)
    assert (a | b).high >= max(a.high, b.high)


def test_all_holds_the_first_and_the_last_uuid() -> None:
    assert (ALL.low_text, ALL.high_text) == (str(UUID(int=0)), str(UUID(int=2**128 - 1)))


@given(st.lists(st.tuples(ranges, st.integers(0, 50)), max_size=30), st.integers(1, 60))
def test_batches_hold_every_part_once_and_are_no_larger_than_allowed(
    parts: list[tuple[UuidRange, int]], most: int
) -> None:
    found = list(batches(parts, most))
    assert [part for batch in found for part in batch] == parts
    for batch in found:
        assert batch
        assert len(batch) == 1 or sum(rows for _, rows in batch) <= most
