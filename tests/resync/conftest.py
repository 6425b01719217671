"""A service with an empty database and an empty Redis."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import PairUrls
from tests.kit.assignments import World
from tests.kit.assignments import world as made


@pytest.fixture
async def world(pair: PairUrls) -> AsyncIterator[World]:
    """The four tables, and a Redis."""
    async with made(pair.first, pair.redis) as here:
        yield here
