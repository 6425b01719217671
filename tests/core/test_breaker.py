"""A breaker opens when a server fails, lets one probe through, and closes when that succeeds."""

from hypothesis import given
from hypothesis import strategies as st

from snk.core.backoff import Backoff
from snk.core.breaker import MOST_FAILING, MOST_TIMES, Breaker

BACKOFF = Backoff(1.0, 60.0)
CHANCE = 0.5
calls = st.lists(
    st.tuples(st.sampled_from(["succeeded", "failed", "trip", "late", "pause", "wait"]), st.integers(0, 9)), max_size=40
)


def breaker(most: int = 8) -> Breaker:
    return Breaker(most, BACKOFF)


def test_a_closed_breaker_admits_as_many_as_there_are_slots() -> None:
    made = breaker(3)
    assert [made.admits(under_way, 0.0) for under_way in range(5)] == [True, True, True, False, False]


def test_only_so_many_different_failures_open_it() -> None:
    made = breaker()
    for _ in range(3 * MOST_FAILING):
        made.failed("the same line", "no", 0.0, CHANCE)
    assert made.state == "closed"
    for line in range(MOST_FAILING - 1):
        made.failed(line, "no", 0.0, CHANCE)
    assert (made.state, made.reason) == ("tripped", "no")


def test_a_success_in_between_forgets_failures() -> None:
    made = breaker()
    for line in range(MOST_FAILING - 1):
        made.failed(line, "no", 0.0, CHANCE)
    assert not made.succeeded()
    made.failed("another", "no", 0.0, CHANCE)
    assert made.state == "closed"


def test_an_open_breaker_admits_one_probe_and_only_after_its_delay() -> None:
    made = breaker()
    made.trip("it cannot be reached", 100.0, CHANCE)
    assert 100.0 < made.until <= 101.0
    assert not made.admits(0, made.until - 0.001)
    assert made.admits(0, made.until)
    assert not made.admits(1, made.until)


def test_a_probe_that_fails_makes_the_next_delay_longer() -> None:
    made, now, delays = breaker(), 0.0, list[float]()
    for _ in range(10):
        made.trip("no", now, CHANCE)
        delays.append(made.until - now)
        now = made.until
    assert delays == sorted(delays)
    assert delays[-1] == delays[-2] == 45.0


def test_a_probe_that_succeeds_closes_it_and_requests_grow_one_by_one() -> None:
    made = breaker(4)
    made.trip("no", 0.0, CHANCE)
    assert made.succeeded()
    assert (made.state, made.reason, made.slots) == ("closed", "", 1)
    grown = []
    for _ in range(5):
        assert not made.succeeded()
        grown.append(made.slots)
    assert grown == [2, 3, 4, 4, 4]
    made.trip("no", 1000.0, CHANCE)
    assert made.until - 1000.0 < 1.0, "its delays start again"


def test_late_answers_halve_the_requests_and_double_the_patience() -> None:
    made = breaker(8)
    slots, patience = [], []
    for _ in range(6):
        made.late()
        slots.append(made.slots)
        patience.append(made.patience)
    assert slots == [4, 2, 1, 1, 1, 1]
    assert patience == [2, 4, 8, MOST_TIMES, MOST_TIMES, MOST_TIMES]
    made.succeeded()
    assert made.patience == 1


def test_what_a_person_must_see_to_stays_paused_whatever_fails_after_it() -> None:
    made = breaker()
    made.pause("401", 0.0, CHANCE)
    made.trip("it cannot be reached", 10.0, CHANCE)
    made.failed("a", "no", 20.0, CHANCE)
    made.wait(5, "503", 30.0)
    assert made.state == "paused"
    assert made.succeeded()
    assert made.admits(0, 30.0)


def test_a_server_that_asks_to_be_left_alone_is() -> None:
    made = breaker()
    made.wait(30, "429", 100.0)
    made.wait(1, "429", 101.0)
    assert made.until == 130.0, "a shorter wait does not end a longer one"
    assert not made.admits(0, 129.9)
    assert made.admits(0, 130.0)


@given(calls, st.integers(1, 8))
def test_whatever_happens_it_admits_something_in_the_end_and_never_too_much(
    done: list[tuple[str, int]], most: int
) -> None:
    made, now = Breaker(most, BACKOFF), 0.0
    for call, number in done:
        now += number
        match call:
            case "succeeded":
                was = made.state
                assert made.succeeded() == (was != "closed")
                assert made.state == "closed"
            case "late":
                made.late()
            case "failed":
                made.failed(number, "no", now, CHANCE)
            case "wait":
                made.wait(number, "later", now)
            case "trip":
                made.trip("no", now, CHANCE)
            case _:
                made.pause("no", now, CHANCE)
        assert 1 <= made.slots <= most
        assert 1 <= made.patience <= MOST_TIMES
        assert not made.admits(most, now)
        assert made.admits(0, max(now, made.until))
        assert made.until <= now + BACKOFF.most_seconds
        assert bool(made.reason) == (made.state != "closed")
