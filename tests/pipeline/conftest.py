"""A pipeline between two servers, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.pipeline import Pair, Receiver, Sender, minutes_ago, serving


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    sender, receiver = Sender(), Receiver()
    async with serving(sender), serving(receiver):
        pair = Pair(tmp_path, minutes_ago(10), sender, receiver)
        try:
            yield pair
        finally:
            await pair.end()
