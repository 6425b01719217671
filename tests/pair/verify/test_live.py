"""On a pair in use, rows under way are no differences, and rows that are missing are."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from snk.pair.verify import search
from snk.pair.verify.compare import Comparison
from tests.pair.verify.conftest import Sides

# A comparison that waits for rows ends when they are there; only one that waits in vain takes so long.
PATIENCE_SECONDS = 60.0
COPY = "insert into records (uuid, data) select md5(i::text)::uuid, i::text from generate_series({}, {}) i"
MISSING = "00000000-0000-4000-8000-000000000001"


async def compare_and(sides: Sides, arrive: Callable[[], Awaitable[None]], settle_seconds: float) -> Comparison:
    """Compare, and let rows arrive when the comparison is about to look at its suspects again."""
    looks_again = asyncio.Event()

    def tell(what: str, _: int, __: int) -> None:
        if what == "look again":
            looks_again.set()

    async def follow() -> None:
        await looks_again.wait()
        await arrive()

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        comparing = group.create_task(sides.compare(settle_seconds=settle_seconds, progress=tell))
    return comparing.result()


@asynccontextmanager
async def traffic(sides: Sides) -> AsyncIterator[None]:
    """Rows come into first all the time, and into second a moment later."""
    stop, started = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        at = 1
        while not stop.is_set():
            await sides.first.run(COPY.format(at, at + 99))
            started.set()
            await sides.second.run(COPY.format(at, at + 99))
            at += 100

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        await started.wait()
        yield
        stop.set()


async def test_rows_that_arrive_a_moment_later_are_not_reported(sides: Sides) -> None:
    await sides.both(COPY.format(1, 1000))
    await sides.first.run(COPY.format(1001, 3000))
    result = await compare_and(sides, lambda: sides.second.run(COPY.format(1001, 3000)), PATIENCE_SECONDS)
    assert result.equal
    assert (result.rows.first, result.rows.second) == (3000, 1000)


async def test_many_rows_under_way_do_not_break_the_search_off(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_DIFFERENCES", 100)
    monkeypatch.setattr(search, "MOST_ROWS_FETCHED", 50)
    await sides.first.run(COPY.format(1, 3000))
    result = await compare_and(sides, lambda: sides.second.run(COPY.format(1, 3000)), PATIENCE_SECONDS)
    assert result.equal
    assert result.complete


async def test_pair_under_traffic_is_equal(sides: Sides) -> None:
    async with traffic(sides):
        for _ in range(5):
            assert (await sides.compare(settle_seconds=PATIENCE_SECONDS)).equal


async def test_missing_row_is_reported_though_others_arrive(sides: Sides) -> None:
    await sides.first.run(COPY.format(1, 100), f"insert into records (uuid, data) values ('{MISSING}', '')")
    result = await compare_and(sides, lambda: sides.second.run(COPY.format(1, 100)), 3.0)
    assert result.only_in_first == (MISSING,)
    assert (result.only_in_second, result.different) == ((), ())
    assert result.seconds >= 3.0


async def test_without_a_second_look_rows_under_way_are_reported(sides: Sides) -> None:
    await sides.first.run(COPY.format(1, 10))
    assert len((await sides.compare(settle_seconds=0)).only_in_first) == 10
