"""The daemon on a quiet pair: how soon a lone row is on the other side, what idling costs, and what a backlog needs.

    python bench/quiet.py [ROWS_ONE_BY_ONE] [BACKLOG_ROWS]

Prints the delay of rows that come every 25 ms or so (milliseconds, both directions in turn), the share of a core that
the daemon uses when nothing has happened for a while, and its peak memory after a backlog.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import sqlalchemy as sa
import uvloop
from live import used

from snk.db.engine import Server
from snk.db.rows import count_rows
from snk.db.schema import Record
from snk.embedded.pair import EmbeddedPair, embedded_pair
from snk.embedded.process import free_port
from snk.embedded.programs import environment, start_daemon
from snk.sync.prepare import prepare

IDLE_SECONDS = 20.0


async def main(pair: EmbeddedPair, rows: int, backlog: int) -> None:
    """Run the three measurements against one daemon."""
    sides = (Server("first", pair.first.dsn), Server("second", pair.second.dsn))
    for side in sides:
        await prepare(side, ("records",))
    await fill(sides[0], backlog)
    daemon = start_daemon(pair, environment(pair, free_port()))
    try:
        began = time.monotonic()
        while await count_rows(sides[1], "records") < backlog:
            await asyncio.sleep(0.1)
        seconds = time.monotonic() - began
        print(f"backlog: {backlog} rows in {seconds:.1f} s, peak {used(daemon.pid)['daemon_peak_mib']:.0f} MiB")
        for source, destination in (sides, sides[::-1]):
            delays = sorted([await delay(source, destination) for _ in range(rows)])
            p50, p90, p99 = statistics.median(delays), delays[int(rows * 0.9)], delays[int(rows * 0.99)]
            print(f"one row {source.label}→{destination.label}: p50 {p50:.1f}  p90 {p90:.1f}  p99 {p99:.1f} ms")
        await asyncio.sleep(IDLE_SECONDS / 4)
        before = used(daemon.pid)["daemon_cpu_seconds"]
        await asyncio.sleep(IDLE_SECONDS)
        cpu = used(daemon.pid)["daemon_cpu_seconds"] - before
        print(f"idle: {100 * cpu / IDLE_SECONDS:.1f}% of a core")
    finally:
        daemon.end(15, 10)


async def fill(side: Server, rows: int) -> None:
    """Insert rows in the server, so that they wait when the daemon starts."""
    made = sa.select(sa.func.gen_random_uuid(), sa.func.md5(sa.cast(sa.func.random(), sa.Text)))
    numbers = sa.func.generate_series(1, rows).table_valued("number")
    async with side.begin() as connection:
        await connection.execute(sa.insert(Record).from_select(["uuid", "data"], made.select_from(numbers)))


async def delay(source: Server, destination: Server) -> float:
    """Milliseconds from the commit of a row on one side to its sight on the other."""
    name = uuid.uuid4()
    sight = sa.select(Record.id).where(Record.uuid == name)
    async with source.connect() as writing, destination.connect() as watching:
        await watching.execute(sight)
        await asyncio.sleep(random.uniform(0.015, 0.035))  # noqa: S311 - no secret
        await writing.execute(sa.insert(Record).values(uuid=name, data="x"))
        committed = time.perf_counter()
        while (await watching.execute(sight)).first() is None:
            await asyncio.sleep(0.0002)
        return (time.perf_counter() - committed) * 1000


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="snk-bench-") as folder:
        Path(folder).chmod(0o755)
        with embedded_pair(Path(folder), user="postgres", password="postgres") as servers:  # noqa: S106 - a demo
            uvloop.run(main(servers, *given, *(300, 2_000_000)[len(given) :]))
