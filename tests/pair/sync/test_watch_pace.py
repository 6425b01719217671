"""The pace of a watch: fast where looks wake somebody, slow where others keep the server busy. No clock is read."""

from itertools import pairwise

import pytest

from snk.pair.sync.watch_pace import LOOKS_AT_ONCE, LOOKS_PER_SECOND, WAIT_SECONDS, WatchPace

EVERY = 0.005


def test_the_server_looks_often_after_a_change_and_rarely_later() -> None:
    pace = WatchPace(EVERY)
    assert pace.wait(0.0) == (WAIT_SECONDS, EVERY)
    pace.seen(9.9, 10.0, 10.0, woken=True)
    everies = [pace.wait(10.0 + later)[1] for later in (0.0, 0.05, 0.2, 0.4, 1.0)]
    assert everies == sorted(everies)
    assert everies[0] < 0.001
    assert everies[-1] == EVERY


def test_it_never_looks_less_often_than_it_was_told_to() -> None:
    pace = WatchPace(0.0001)
    pace.seen(9.9, 10.0, 10.0, woken=True)
    assert pace.wait(10.0)[1] == 0.0001


def test_looks_in_vain_grow_rare_and_one_that_wakes_is_followed_soon() -> None:
    pace, now = WatchPace(EVERY), 0.0
    rests = []
    for _ in range(60):
        rests.append(pace.seen(now, now + 0.001, now + 0.001, woken=False))
        now += 0.001 + rests[-1]
    assert all(later > before - 1e-9 for before, later in pairwise(rests))
    assert rests[-1] == pytest.approx(0.03)
    assert pace.seen(now, now + 0.001, now + 0.001, woken=True) < 0.005


def test_a_long_wait_is_no_dear_look() -> None:
    pace = WatchPace(EVERY)
    for number in range(200):
        rest = pace.seen(number, number + 0.4, number + 0.4, woken=False)
    assert rest < 0.005


def test_however_many_it_wakes_it_looks_at_most_so_often() -> None:
    pace, now, looks = WatchPace(EVERY), 0.0, 0
    while now < 10.0:
        looks += 1
        now += 0.0001
        now += pace.seen(now - 0.0001, now, now, woken=True)
    assert looks <= 10 * LOOKS_PER_SECOND + LOOKS_AT_ONCE + 10


def test_asking_tables_takes_a_seventh_of_the_time_at_most() -> None:
    pace = WatchPace(EVERY)
    assert pace.seen(0.0, 0.001, 0.004, woken=True) == pytest.approx(0.018)
