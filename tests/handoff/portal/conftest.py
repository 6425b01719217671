"""A browser, and sync servers as processes of their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from snk.embedded.process import free_port
from tests.kit.databases import until
from tests.kit.handoff import World, started

Serving = Callable[..., AbstractAsyncContextManager[str]]
"""Runs `snk handoff run` with these settings; what it yields is the address of its pages."""


@pytest.fixture
def serving(world: World) -> Serving:
    """Starts sync servers."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[str]:
        port = free_port()
        process = started(world.config(port=port, **settings), "run")
        url = f"http://127.0.0.1:{port}"

        async def answers() -> bool:
            assert process.poll() is None, process.communicate()
            try:
                async with aiohttp.request("GET", f"{url}/status.html") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        try:
            await until(answers, "the service to answer")
            yield url
        finally:
            process.terminate()
            process.communicate()
        assert process.returncode == 0

    return run
