"""Waiting after failures grows, with jitter, up to a limit."""

from hypothesis import given
from hypothesis import strategies as st

from snk.core.backoff import Backoff


@given(st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_between_half_its_ceiling_and_its_ceiling(tries: int, chance: float) -> None:
    backoff = Backoff(tries=tries)
    ceiling = min(backoff.most_seconds, backoff.first_seconds * 2.0 ** min(tries, 30))
    assert ceiling / 2 <= backoff.wait_seconds(chance) <= ceiling


def test_backoff_grows() -> None:
    waits = [Backoff(tries=tries).wait_seconds(0.5) for tries in range(10)]
    assert waits == sorted(waits)
    assert Backoff().failed().tries == 1
