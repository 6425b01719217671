"""Neither end starves, and a frame is looked at ever more rarely up to the lookback."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from snk.core.intervals import Intervals
from snk.pipeline.frame import Grid
from snk.pipeline.schedule import EMPTY_AGAIN_SECONDS, Looking, Turns, percentile

MINUTES = Grid(1_795_564_800)
lookbacks = st.floats(0, 6_000_000)


@given(st.floats(0.01, 1), st.integers(2, 400))
def test_neither_end_of_a_backlog_starves(share: float, count: int) -> None:
    turns, candidates = Turns(share), Intervals(((0, 10_000),))
    chosen = []
    for _ in range(count):
        chosen.append(turns.choose(candidates))
        candidates = candidates.without(chosen[-1:])
    oldest = [at for at, number in enumerate(chosen) if number < 5_000]
    assert abs(len(oldest) - share * count) <= 1
    for gaps, wanted in ((oldest, share), ([at for at in range(count) if at not in oldest], 1 - share)):
        if wanted > 0:
            longest = max((after - before for before, after in pairwise(gaps)), default=0)
            assert longest <= math.ceil(1 / wanted) + 1


def test_the_oldest_alone_are_chosen_with_a_share_of_one() -> None:
    turns, candidates = Turns(1.0), Intervals(((3, 4), (8, 9)))
    chosen = []
    while candidates:
        chosen.append(turns.choose(candidates))
        candidates = candidates.without(chosen[-1:])
    assert chosen == [3, 4, 8, 9]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1), st.floats(0.01, 1))
def test_what_is_chosen_is_an_end_of_the_candidates(pairs: list[tuple[int, int]], share: float) -> None:
    candidates = Intervals.of((min(pair), max(pair)) for pair in pairs)
    turns = Turns(share)
    for _ in range(10):
        assert turns.choose(candidates) in (min(candidates), max(candidates))


@given(st.floats(-100, 1_000_000), lookbacks, st.booleans())
def test_looks_end_after_few_and_the_last_is_at_the_lookback(age: float, lookback: float, empty: bool) -> None:  # noqa: FBT001
    looking, looks = Looking(MINUTES, lookback), 0
    while not looking.final(age):
        following = looking.next_age(age, empty=empty)
        assert following > age
        assert following >= 2 * age or following == lookback
        assert following <= lookback
        age, looks = following, looks + 1
    assert looks <= 30, "each look is at twice the age of the one before"
    assert looking.next_age(age, empty=empty) == age, "after the last look there is none"


def test_an_empty_frame_is_looked_at_again_after_half_a_minute() -> None:
    looking = Looking(MINUTES, 3600)
    assert EMPTY_AGAIN_SECONDS == 30
    assert looking.next_age(2.0, empty=True) == 32.0
    assert looking.next_age(2.0, empty=False) == 62.0


def test_a_lookback_of_an_hour_costs_seven_looks() -> None:
    looking, age, ages = Looking(MINUTES, 3600), 30.0, list[float]()
    while not looking.final(age):
        age = looking.next_age(age, empty=False)
        ages.append(age)
    assert ages == [90, 180, 360, 720, 1440, 2880, 3600]


@given(st.integers(0, 10_000_000), st.integers(0, 40_000).map(lambda quarters: quarters / 4))
def test_a_frame_is_due_when_its_end_and_the_delay_are_over(later: int, delay: float) -> None:
    looking, now = Looking(MINUTES, 0), MINUTES.base + later
    due = looking.due(now, delay)
    assert list(due.pairs[:1]) in ([], [(0, len(due) - 1)])
    if due:
        assert looking.age(len(due) - 1, now) >= delay
    assert looking.age(len(due), now) < delay


@given(st.lists(st.integers(0, 100), max_size=20), st.floats(0, 1))
def test_a_percentile_is_the_first_index_that_covers_its_share(counts: list[int], share: float) -> None:
    index = percentile(counts, share)
    if not sum(counts):
        assert index == 0
    else:
        assert sum(counts[: index + 1]) >= share * sum(counts) > sum(counts[:index]) or index == 0
