"""A bucket never admits more than its rate and burst, and never less than it could."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.core.bucket import Bucket

rates = st.floats(0.01, 10_000)
bursts = st.floats(1, 100)
steps = st.lists(st.floats(0, 10), min_size=1, max_size=60)


@given(rates, bursts, steps)
def test_in_no_window_are_there_more_than_rate_and_burst_allow(rate: float, burst: float, waits: list[float]) -> None:
    bucket, now, taken = Bucket(rate, burst), 0.0, list[float]()
    for wait in waits:
        now += wait
        while len(taken) < 2_000 and not bucket.take(now):
            taken.append(now)
    for first in range(0, len(taken), 7):
        for last in range(first, len(taken), 5):
            assert last - first + 1 <= rate * (taken[last] - taken[first]) * (1 + 1e-9) + burst + 1e-6


@given(rates, bursts, steps)
def test_after_the_wait_that_it_tells_there_is_one(rate: float, burst: float, waits: list[float]) -> None:
    bucket, now = Bucket(rate, burst), 0.0
    for wait in waits:
        now += wait
        told = bucket.take(now)
        assert told >= 0
        if told:
            assert told <= 1 / rate + 1e-9
            assert bucket.take(now + told / 2) > 0
            now += told * (1 + 1e-9) + 1e-9
            assert bucket.take(now) == 0


@given(rates, st.integers(1, 50))
def test_so_many_are_admitted_at_once_as_the_burst_says(rate: float, burst: int) -> None:
    bucket = Bucket(rate, burst)
    taken = 0
    while not bucket.take(100.0):
        taken += 1
    assert abs(taken - burst) <= (burst > 1), "rounding may cost or give one"
    assert taken >= 1


@pytest.mark.parametrize("rate", [0.5, 3.0, 1000.0])
def test_who_takes_whenever_there_is_one_gets_the_whole_rate(rate: float) -> None:
    bucket, now, count = Bucket(rate), 0.0, 0
    while count < 1_000:
        now += bucket.take(now)
        count += bucket.take(now) == 0
    assert now == pytest.approx(1_000 / rate, rel=0.01)


def test_a_bucket_is_as_good_as_new_when_all_is_paid() -> None:
    bucket = Bucket(2.0, 2.0)
    assert bucket.idle(0.0)
    assert bucket.take(0.0) == bucket.take(0.0) == 0
    assert not bucket.idle(0.9)
    assert bucket.idle(1.0)
