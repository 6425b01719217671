"""The watch: what it tells over HTTP, and that trouble with a server does not end it."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from snk.http.door import Door
from snk.http.pages import application
from snk.http.service import Address, listening, serve
from snk.pair.servers import EmbeddedPair
from snk.resync.pages import PAGES
from snk.resync.watch import Watch
from tests.kit.assignments import World
from tests.kit.assignments import world as made
from tests.kit.proxy import proxied


@asynccontextmanager
async def watched(world: World) -> AsyncIterator[tuple[Watch, int]]:
    """A watch that serves its pages, and their port."""
    stop, watch = asyncio.Event(), Watch(world.place(), 0.05)
    with listening(Address("127.0.0.1", 0), guarded=False) as bound:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run(stop))
            group.create_task(
                serve(application(lambda: watch.status().troubles, watch.status, PAGES), bound, stop, Door())
            )
            try:
                yield watch, bound.getsockname()[1]
            finally:
                stop.set()


async def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    while not true():
        await asyncio.sleep(0.02)


async def page(port: int, name: str) -> tuple[int, str]:
    """The status and the text of a page."""

    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(get)


async def test_it_tells_what_differs_and_when_it_is_repaired(world: World) -> None:
    await world.project("P", "0", 7)
    await world.rows("P", 7, (1, 1))
    await world.counters(sasp_7=3)
    async with watched(world) as (watch, port):
        await until(lambda: watch.status().rounds > 0)
        code, text = await page(port, "health")
        assert (code, "P: DIFFERENT: 2 differences" in text) == (503, True)
        told: Any = json.loads((await page(port, "status"))[1])
        assert told["projects"][0]["differences"] == {"missing": 2}
        _, metrics = await page(port, "metrics")
        assert 'snk_resync_equal{project="P"} 0.0' in metrics
        assert 'snk_resync_differences{kind="missing",project="P"} 2.0' in metrics
        await world.repair()
        await until(lambda: watch.status().healthy)
        assert await page(port, "health") == (200, '{"status":"ok"}')
        assert 'snk_resync_equal{project="P"} 1.0' in (await page(port, "metrics"))[1]


async def test_trouble_with_a_server_is_told_and_passes(database: str, servers: EmbeddedPair) -> None:
    async with (
        proxied(database) as to_database,
        proxied(servers.redis.dsn) as to_redis,
        made(to_database.dsn, to_redis.dsn) as world,
    ):
        await world.redis.flushall()
        await world.project("P", "0", 7)
        async with watched(world) as (watch, port):
            await until(lambda: watch.status().healthy)
            for proxy in (to_database, to_redis):
                proxy.refuse()
                proxy.cut()
                await until(lambda: bool(watch.status().trouble))
                code, _ = await page(port, "health")
                assert code == 503
                assert "snk_resync_up 0.0" in (await page(port, "metrics"))[1]
                proxy.refuse(refusing=False)
                await until(lambda: watch.status().healthy)


async def test_a_project_that_comes_or_goes_is_seen(world: World) -> None:
    async with watched(world) as (watch, _):
        await until(lambda: watch.status().rounds > 0)
        assert watch.status().projects == ()
        await world.project("P", "1", 7)
        await until(lambda: [each.project for each in watch.status().projects] == ["P"])
        await world.do("delete from tb_prj_mst")
        await world.do("delete from cw_project")
        await until(lambda: watch.status().projects == ())
