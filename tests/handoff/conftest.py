"""Backends, and a folder of logs."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.kit.commands import run_command
from tests.kit.handoff import Run, World
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


@pytest.fixture
def snk(world: World) -> Run:
    """Run `snk handoff` with these words."""

    async def run(*words: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run_command, "handoff", *words, "--config", str(config or world.config()))

    return run
