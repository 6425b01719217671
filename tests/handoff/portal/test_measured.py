"""Backlog and rate over time, as a running server has them."""

import asyncio

from snk.handoff.portal.measured import ALL, Measured
from tests.kit.handoff import World, backend_of, lines, until
from tests.kit.scripted import Backend


async def test_backlog_and_rate_are_those_of_each_backend_and_of_all(world: World, backend: Backend) -> None:
    await backend.stop()
    world.write(backend.name, lines(range(12)))
    world.write("127.0.0.1:1", lines(range(3)))
    stop = asyncio.Event()
    async with world.running() as server:
        measured = Measured(server)
        history = measured.history
        history.every_seconds = 0.01
        running = asyncio.create_task(measured.run(stop))

        def last(name: str) -> float:
            series = history.series(name)
            return series[-1][1] if series else -1.0

        await until(lambda: (last(f"backlog {backend.name}"), last(f"backlog {ALL}")) == (12, 15), "the backlog")
        await backend.start()
        await until(lambda: backend_of(server, backend.name).counts.synced == 12, "the lines to be sent")
        await until(lambda: last(f"backlog {ALL}") == 3, "the backlog to get less")
        rates = [value for _, value in history.series(f"rate {backend.name}")]
        assert max(rates) > 0
        assert [value for _, value in history.series(f"rate {ALL}")][-len(rates) :] == rates
        assert last("rate 127.0.0.1:1") == 0
        stop.set()
        await running
