"""What open tabs cost the daemon: its CPU time with none, one and a hundred, and under load with none and a hundred.

    python -m bench.tabs [TABLES]

Of three loads, medians are shown. A tab is a stream of the first page, opened again whenever it ends, as browsers do.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import uvloop

from bench.contenders.snk import Snk
from bench.ground import Ground, both, fill, ground
from bench.usage import usage
from bench.watch import watching
from snk.cli.inherited import settle
from snk.pair.status.ask import daemon_url

TABS = (0, 1, 100, 0)
IDLE_SECONDS = 20.0
ROWS = 300_000
ROUNDS = 3
WARM_ROWS = 16_384


async def main(measured: Ground, tables: int) -> None:
    """Measure, and print."""
    names = [f"t{at:04}" for at in range(tables)]
    await measured.make_tables(names)
    await measured.warm_up()
    daemon = Snk()
    await daemon.start(measured, names)
    url = daemon_url("127.0.0.1", int(measured.values["SNK_HTTP_PORT"]))
    await asyncio.sleep(IDLE_SECONDS)
    for count in TABS:
        async with _tabs(url, count):
            print(f"{count:4} tabs: {await _idle_percent(daemon):.2f} % of a core while nothing flows", flush=True)
    loads: dict[int, list[tuple[float, float]]] = {0: [], 100: []}
    for _ in range(ROUNDS):
        for count, found in loads.items():
            async with _tabs(url, count):
                before = usage(daemon.pids, ())
                rate = await _rate(measured, names[:1])
                found.append((rate, usage(daemon.pids, ()).since(before).own_seconds / ROWS))
    for count, found in loads.items():
        rate, seconds = (statistics.median(each) for each in zip(*found, strict=True))
        print(f"{count:4} tabs: {rate:,.0f} rows/s, {1e6 * seconds:.2f} µs of CPU time for each row", flush=True)
    await daemon.stop()


async def _idle_percent(daemon: Snk) -> float:
    before = usage(daemon.pids, ())
    await asyncio.sleep(IDLE_SECONDS)
    return 100 * usage(daemon.pids, ()).since(before).own_seconds / IDLE_SECONDS


async def _rate(measured: Ground, names: Sequence[str]) -> float:
    async with watching(measured, names) as (watch, _):
        began = time.monotonic()
        await both(measured.sides, partial(fill, rows=ROWS // 2, tables=names))
        lost = await watch.drained(ROWS)
        return (ROWS - lost) / (watch.ended - began)


@asynccontextmanager
async def _tabs(url: str, count: int) -> AsyncIterator[None]:
    """So many open tabs, as long as the block lasts."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        looking = [asyncio.create_task(_look(session, f"{url}/live/")) for _ in range(count)]
        try:
            yield
            if broken := [task for task in looking if task.done()]:
                broken[0].result()
        finally:
            for task in looking:
                task.cancel()
            await asyncio.gather(*looking, return_exceptions=True)


async def _look(session: aiohttp.ClientSession, url: str) -> None:
    while True:
        async with session.get(url) as answer:
            answer.raise_for_status()
            async for _ in answer.content.iter_any():
                pass


if __name__ == "__main__":
    settle()
    with ground(warm_rows=WARM_ROWS) as made:
        uvloop.run(main(made, int(sys.argv[1]) if len(sys.argv) > 1 else 1))
