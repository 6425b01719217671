"""What is known of the clock of the source is what it has reached at least."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.pipeline.clock import APART_SECONDS, Sent, SourceClock


class Time:
    """Both clocks of this machine, which go as the test wants."""

    def __init__(self, patch: pytest.MonkeyPatch, wall: float = 1_795_564_800.0) -> None:
        self.wall, self.steady = wall, 1_000.0
        patch.setattr(time, "time", lambda: self.wall)
        patch.setattr(time, "monotonic", lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 90)), min_size=1))
def test_it_is_never_taken_to_be_later_than_it_is(ahead: float, answers: list[tuple[float, float, float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        now, clock = Time(patch), SourceClock()
        for there, back, pause in answers:
            sent, really = Sent.now(), now.wall + ahead
            now.passes(there)
            date = formatdate(now.wall + ahead, usegmt=True)
            now.passes(back)
            assert clock.when_sent(sent, date) <= really + 1e-3
            assert now.wall + ahead - 1 - back - 1e-3 <= clock.now() <= now.wall + ahead + 1e-3
            now.passes(pause)
            assert clock.now() <= now.wall + ahead + 1e-3


def test_before_the_first_answer_it_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now, clock = Time(monkeypatch), SourceClock()
    assert clock.now() == now.wall
    assert (clock.ahead, clock.warning) == (None, "")


def test_our_own_clock_that_is_set_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now, clock = Time(monkeypatch), SourceClock()
    clock.when_sent(Sent.now(), formatdate(now.wall, usegmt=True))
    before = clock.now()
    now.wall += 86_400
    assert clock.now() == before
    now.passes(10)
    assert clock.now() == before + 10


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 99 Nov 2026 00:00:00 GMT"])
def test_an_answer_without_a_date_tells_nothing(date: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    now, clock = Time(monkeypatch), SourceClock()
    sent = Sent.now()
    now.passes(1)
    assert clock.when_sent(sent, date) == sent.wall
    assert clock.ahead is None


@pytest.mark.parametrize(
    ("ahead", "words"), [(0, ""), (APART_SECONDS - 1, ""), (60, "60 s ahead of ours"), (-3600, "3600 s behind ours")]
)
def test_clocks_that_differ_deserve_a_warning(ahead: float, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now, clock = Time(monkeypatch, wall=1_795_564_800.5), SourceClock()
    clock.when_sent(Sent.now(), formatdate(now.wall + ahead, usegmt=True))
    assert clock.warning.endswith(words)
    assert bool(clock.warning) == bool(words)


def test_a_source_whose_clock_is_set_back_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    now, clock = Time(monkeypatch), SourceClock()
    clock.when_sent(Sent.now(), formatdate(now.wall + 3600, usegmt=True))
    clock.when_sent(Sent.now(), formatdate(now.wall, usegmt=True))
    assert clock.now() == now.wall
