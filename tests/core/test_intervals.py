"""Intervals behave like the sets of ints they stand for."""

from hypothesis import example, given
from hypothesis import strategies as st

from snk.core.intervals import NOTHING, Intervals, union

bounds = st.integers(-30, 30)
pair_lists = st.lists(st.tuples(bounds, bounds), max_size=8)
ids = st.sets(bounds, max_size=20)


def as_set(pairs: list[tuple[int, int]]) -> set[int]:
    return {i for low, high in pairs for i in range(low, high + 1)}


def assert_canonical(intervals: Intervals) -> None:
    """Sorted, none empty, none touching."""
    flat = [bound for pair in intervals.pairs for bound in pair]
    assert flat == sorted(flat)
    assert all(high + 1 < low for (_, high), (low, _) in zip(intervals.pairs, intervals.pairs[1:], strict=False))


@given(pair_lists)
def test_holds_the_union_of_its_pairs(pairs: list[tuple[int, int]]) -> None:
    intervals = Intervals.of(pairs)
    assert_canonical(intervals)
    assert set(intervals) == as_set(pairs)
    assert len(intervals) == len(as_set(pairs))
    assert bool(intervals) == bool(as_set(pairs))
    assert [i in intervals for i in range(-35, 35)] == [i in as_set(pairs) for i in range(-35, 35)]


@given(pair_lists, pair_lists)
def test_union_and_difference_are_those_of_sets(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    a, b = Intervals.of(one), Intervals.of(other)
    assert_canonical(a | b)
    assert_canonical(a - b)
    assert set(a | b) == as_set(one) | as_set(other)
    assert set(a - b) == as_set(one) - as_set(other)


@given(pair_lists, ids)
def test_without_removes_single_ids(pairs: list[tuple[int, int]], gone: set[int]) -> None:
    assert set(Intervals.of(pairs).without(gone)) == as_set(pairs) - gone


@given(pair_lists, bounds)
def test_cut_at_a_bound_in_two_parts(pairs: list[tuple[int, int]], bound: int) -> None:
    whole = Intervals.of(pairs)
    assert set(whole.up_to(bound)) == {i for i in as_set(pairs) if i <= bound}
    assert set(whole.above(bound)) == {i for i in as_set(pairs) if i > bound}


@given(bounds, ids)
def test_between_finds_what_a_read_skipped(low: int, seen: set[int]) -> None:
    ascending = sorted(i for i in seen if i > low)
    top = ascending[-1] if ascending else low
    assert set(Intervals.between(low, ascending)) == set(range(low + 1, top + 1)) - seen


@given(pair_lists, st.integers(1, 5))
def test_coarse_is_a_superset_within_the_same_bounds(pairs: list[tuple[int, int]], limit: int) -> None:
    whole = Intervals.of(pairs)
    coarse = whole.coarse(limit)
    assert_canonical(coarse)
    assert len(coarse.pairs) <= max(limit, 0)
    assert set(coarse) >= set(whole)
    if whole:
        assert (coarse.pairs[0][0], coarse.pairs[-1][1]) == (whole.pairs[0][0], whole.pairs[-1][1])


@given(pair_lists, st.integers(1, 5), st.integers(1, 20))
def test_the_first_intervals_are_no_more_than_wanted_but_always_one(
    pairs: list[tuple[int, int]], most: int, count: int
) -> None:
    whole = Intervals.of(pairs)
    first = whole.first(most, count)
    assert first.pairs == whole.pairs[: len(first.pairs)]
    assert bool(first) == bool(whole)
    assert len(first.pairs) <= most
    assert len(first) <= count or len(first.pairs) == 1
    more = whole.pairs[: len(first.pairs) + 1]
    assert first == whole or len(more) > most or len(Intervals(more)) > count, "it could have been more"


@given(st.lists(pair_lists, max_size=5))
@example([[(5, 6)], [], [(1, 2)]])
@example([[(1, 2)], [(3, 4)]])
@example([[(1, 2), (9, 9)], [(2, 4)], [(6, 7)]])
def test_the_union_of_many_is_that_of_sets(many: list[list[tuple[int, int]]]) -> None:
    whole = union(Intervals.of(pairs) for pairs in many)
    assert_canonical(whole)
    assert set(whole) == set().union(*map(as_set, many))


def test_coarse_closes_the_narrowest_gaps_first() -> None:
    assert Intervals.of([(1, 1), (3, 3), (10, 10), (30, 30)]).coarse(2).pairs == ((1, 10), (30, 30))


def test_nothing_is_empty() -> None:
    assert not NOTHING
    assert list(NOTHING) == []
