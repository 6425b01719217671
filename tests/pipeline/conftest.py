"""A pipeline between two servers, and both spaces without processes, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from snk.pipeline.space import Space
from tests.kit.pipeline import GRID, Pair, Receiver, Sender, minutes_ago, serving


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    sender, receiver = Sender(), Receiver()
    async with serving(sender), serving(receiver):
        pair = Pair(tmp_path, minutes_ago(10), sender, receiver)
        try:
            yield pair
        finally:
            await pair.end()


@pytest.fixture
def space(tmp_path: Path) -> Space:
    made = Space(tmp_path, GRID)
    made.make(made.sss)
    made.make(made.rss)
    return made
