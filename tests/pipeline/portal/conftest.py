"""A browser for the tests of the pages."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.kit import browser as kit


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests."""
    async with kit.opened() as opened:
        yield opened
