"""A backlog is caught up without help, and does not delay the present."""

import asyncio

import pytest

from tests.kit.pipeline import Pair, minutes_ago, record, second_ago

HOUR, TWO_DAYS = 60, 2 * 24 * 60


@pytest.mark.long
@pytest.mark.parametrize("minutes", [3 * HOUR, pytest.param(TWO_DAYS, marks=pytest.mark.full)])
async def test_two_days_of_shutdown_are_caught_up_by_themselves(pair: Pair, minutes: int) -> None:
    pair.base = minutes_ago(minutes)
    pair.sender.records = [record(str(minute), pair.start_of(minute)) for minute in range(minutes)]
    pair.configure()
    pair.start("pull")
    pair.start("push")
    await pair.all_arrived(minutes, 600)
    assert len(pair.receiver.received) == len(pair.receiver.stored)
    status = await asyncio.to_thread(pair.status)
    assert (status["missing"], status["quarantined"]) == (0, 0)
    assert status["done"] >= minutes
    assert status["records"] == minutes


@pytest.mark.long
@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_the_order_says_whether_a_backlog_delays_the_present_and_it_never_stands_still(
    pair: Pair, order: str
) -> None:
    """The source withstands so few requests that the backlog takes minutes."""
    pair.seconds = 1
    backlog = 3000
    pair.base = second_ago(backlog)
    pair.sender.records = [record(str(number), pair.start_of(number)) for number in range(backlog + 600)]
    pair.configure(source={"requests_per_second": 30}, order=order, oldest_share=0.5)
    pair.start("pull")
    pair.start("push")

    def oldest() -> int:
        return next(frame for frame in range(backlog) if pair.name(frame) not in finished)

    def newest() -> int:
        return max((frame for frame in range(backlog, backlog + 600) if pair.name(frame) in finished), default=-1)

    finished: set[str] = set()

    def look() -> bool:
        finished.update(pair.finished())
        return oldest() >= 20 and (order == "oldest" or newest() >= backlog + 3)

    await pair.until(look)
    assert len(finished) < backlog // 2
    if order == "oldest":
        assert newest() == -1
