"""Polling is quick while rows come, and rare on a quiet table; batches shrink at once and grow slowly."""

from hypothesis import given
from hypothesis import strategies as st

from snk.pair.core.pace import HELD_BATCHES, MOST_GATHER_MS, SMALLER, BatchSize, Gather, PollPace


def quiet(pace: PollPace, milliseconds: float) -> PollPace:
    start = pace.quiet_ms
    while pace.quiet_ms - start < milliseconds:
        pace = pace.after(moved=False)
    return pace


def test_polls_stay_short_shortly_after_a_row() -> None:
    assert quiet(PollPace(20.0), 400).wait_ms == PollPace(20.0).least_ms


def test_a_quiet_table_is_polled_at_the_longest_interval() -> None:
    assert quiet(PollPace(20.0), 5_000).wait_ms == 20.0


def test_a_row_wakes_the_poller_at_once() -> None:
    asleep = quiet(PollPace(20.0), 5_000)
    assert asleep.after(moved=True).quiet_ms == 0.0


@given(st.floats(1.0, 60_000.0), st.lists(st.booleans(), max_size=200))
def test_the_interval_never_exceeds_its_limit(most: float, moves: list[bool]) -> None:
    pace = PollPace(most)
    for moved in moves:
        pace = pace.after(moved=moved)
        assert 0 < pace.wait_ms <= most


@given(st.lists(st.integers(0, 100_000), max_size=50))
def test_rows_gather_for_a_while_but_never_for_long(reads: list[int]) -> None:
    gather = Gather()
    for rows in reads:
        gather = gather.after(rows)
        assert 0.0 <= gather.wait_ms <= MOST_GATHER_MS


def test_a_lone_row_waits_for_nobody_and_a_load_is_not_over_with_one_empty_read() -> None:
    assert Gather().after(1).wait_ms < 0.1
    loaded = Gather().after(2_000).after(0)
    assert loaded.wait_ms > 1.0
    for _ in range(40):
        loaded = loaded.after(0)
    assert loaded.wait_ms < 0.1


def test_batches_grow_back_to_their_most_and_no_further() -> None:
    size = BatchSize.of(1000, 2000).too_much()
    assert (size.rows, size.bytes) == (1000 // SMALLER, 2000 // SMALLER)
    for _ in range(HELD_BATCHES):
        assert size.rows == 1000 // SMALLER
        size = size.went_well()
    assert size.rows == 2 * (1000 // SMALLER)
    for _ in range(20 * HELD_BATCHES):
        size = size.went_well()
    assert size.rows == 1000


@given(st.integers(1, 100_000), st.lists(st.booleans(), max_size=300))
def test_a_batch_has_a_row_at_least_and_its_most_at_most(most: int, history: list[bool]) -> None:
    size = BatchSize.of(most, most)
    for well in history:
        size = size.went_well() if well else size.too_much()
        assert 1 <= size.rows <= most


def test_a_dear_poll_is_made_half_of_the_time() -> None:
    assert PollPace(20).rest_seconds(0.3) == 0.3
    assert PollPace(20).rest_seconds(0.0) == PollPace(20).wait_ms / 1000


def test_a_poll_that_was_held_up_for_long_does_not_hold_up_the_next_one_as_long() -> None:
    assert PollPace(20).rest_seconds(600.0) <= 1.0
