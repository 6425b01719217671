"""Backends, and a folder of logs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.kit.handoff import World
from tests.kit.scripted import Backend


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Folders of logs and of state."""
    return World(tmp_path)


@pytest.fixture
async def backends() -> AsyncIterator[Callable[[], Awaitable[Backend]]]:
    """Starts backends."""
    made: list[Backend] = []

    async def start() -> Backend:
        backend = Backend()
        await backend.start()
        made.append(backend)
        return backend

    yield start
    for backend in made:
        await backend.stop()


@pytest.fixture
async def backend(backends: Callable[[], Awaitable[Backend]]) -> Backend:
    """One backend."""
    return await backends()
