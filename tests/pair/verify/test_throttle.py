"""Slices of a sweep take about the same time each, and the rests between them leave the servers to others."""

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snk.pair.verify import throttle
from snk.pair.verify.throttle import Stride, Throttle, rest_seconds

seconds = st.floats(0, 100)


@given(st.integers(throttle.LEAST_ROWS, throttle.MOST_ROWS), seconds)
def test_a_stride_stays_in_bounds_and_never_more_than_doubles_or_halves(rows: int, took: float) -> None:
    after = Stride(rows).after(took).rows
    assert throttle.LEAST_ROWS <= after <= throttle.MOST_ROWS
    assert rows // 2 <= after <= 2 * rows


@given(st.floats(1e-7, 1e-4))
def test_slices_come_to_take_the_time_they_should(row_seconds: float) -> None:
    stride = Stride()
    for _ in range(20):
        stride = stride.after(stride.rows * row_seconds)
    wanted = min(throttle.MOST_ROWS, max(throttle.LEAST_ROWS, throttle.SLICE_SECONDS / row_seconds))
    assert stride.rows == pytest.approx(wanted, rel=0.1, abs=2)


@given(st.floats(0, 0.1), st.floats(0.1, 1))
def test_work_takes_its_share_of_the_time(worked: float, share: float) -> None:
    assert worked == pytest.approx(share * (worked + rest_seconds(worked, share)))


@given(st.floats(throttle.MOST_WORKED_SECONDS, 1e6), st.floats(0.001, 1))
def test_a_statement_that_had_to_wait_is_rested_from_as_one_that_did_not(waited: float, share: float) -> None:
    assert rest_seconds(waited, share) == rest_seconds(throttle.MOST_WORKED_SECONDS, share)


class Clock:
    """Goes on where somebody sleeps or works, and only there."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += max(0.0, seconds)
        await asyncio.sleep(0)


@given(st.lists(st.lists(st.floats(0.001, 0.4), min_size=1, max_size=5), min_size=1, max_size=16), st.floats(0.05, 1))
async def test_of_many_passes_one_works_at_a_time_and_all_rest_together(
    passes: list[list[float]], share: float
) -> None:
    clock = Clock()
    throttle = Throttle(share, now=clock.now, sleep=clock.sleep)
    taken: list[tuple[float, float]] = []

    async def run(statements: list[float]) -> None:
        for seconds in statements:
            async with throttle.statement():
                began = clock.now()
                await clock.sleep(seconds)
                taken.append((began, clock.now()))

    await asyncio.gather(*map(run, passes))
    assert len(taken) == sum(map(len, passes))
    for (began, ended), (following, _) in pairwise(taken):
        assert following >= ended + rest_seconds(ended - began, share) - 1e-9


async def test_passes_take_turns() -> None:
    clock = Clock()
    throttle = Throttle(0.5, now=clock.now, sleep=clock.sleep)
    turns: list[str] = []

    async def run(name: str) -> None:
        for _ in range(3):
            async with throttle.statement():
                turns.append(name)
                await clock.sleep(0.01)

    await asyncio.gather(*map(run, "abc"))
    assert "".join(turns) == "abcabcabc"


async def test_a_statement_that_fails_or_is_cancelled_gives_its_turn_back() -> None:
    throttle = Throttle(1.0)
    hanging = asyncio.Event()

    async def hang() -> None:
        async with throttle.statement():
            hanging.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await hanging.wait()
    waiting = asyncio.create_task(hang())
    await asyncio.sleep(0)
    waiting.cancel()
    task.cancel()
    await asyncio.wait((task, waiting))
    with suppress(TimeoutError):
        async with throttle.statement():
            raise TimeoutError
    async with throttle.statement():
        pass
