"""``/health`` asks the database once a second at most, however many ask."""

import asyncio

from snk.batch.platform.api.pages import RECENT_SECONDS, Recent
from snk.errors import Unavailable


async def test_many_that_ask_at_once_cost_one_question() -> None:
    now = 100.0
    asked = 0
    away = True

    async def ask() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if away:
            raise Unavailable("the database is away")

    recent = Recent(ask, lambda: now)
    found = await asyncio.gather(*(recent() for _ in range(10)), return_exceptions=True)
    assert [str(each) for each in found] == ["the database is away"] * 10
    assert asked == 1
    away = False
    now += RECENT_SECONDS
    await asyncio.gather(*(recent() for _ in range(10)))
    assert asked == 2
