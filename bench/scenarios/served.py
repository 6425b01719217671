"""How fast frames are pulled from `snk serve`, against a loop that asks it for the same frames and throws them away.

If both take as long, the source is what limits the pipeline. On a machine with two cores all of them compete for these,
so it is also measured with the source on one core, and the pipeline on the other.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import sqlalchemy as sa

from bench.results import Result
from bench.scenarios.pipeline import SPARE_SECONDS, World, serving, until
from bench.usage import peak_mib
from snk.db.server import Server
from snk.embedded.postgres import PostgresServer
from snk.embedded.process import free_port
from snk.embedded.temporary import create_databases, database_server, url_of
from snk.pipeline.frame import written

FRAME_SECONDS = 60
NAME = "bench"
TABLE = """
CREATE TABLE records (uid text PRIMARY KEY, at timestamptz NOT NULL, value bigint, text text);
INSERT INTO records
SELECT 'r' || i, to_timestamp({base} + {seconds} * (i / {each}) + i % {each} * 0.001), i, repeat('0123456789', 4)
FROM generate_series(0, {rows} - 1) i;
CREATE INDEX ON records (at);
ANALYZE records
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Frames pulled from a service on the same machine.

    Attributes:
        per_frame: records in each.
        at_once: requests under way.
        apart: whether service and database have a core of their own, and who asks them another one.
    """

    frames: int
    per_frame: int
    at_once: int
    apart: bool = False

    def run(self, rounds: int) -> Iterator[Result]:
        """Run both ways, round by round; every other round runs in reverse order."""
        words = f"{self.frames:,} frames of {self.per_frame:,} records pulled from snk serve, {self.at_once} at once"
        words += ", which has a core of its own" * self.apart
        base = int(time.time()) - self.frames * FRAME_SECONDS - SPARE_SECONDS
        cores = sorted(os.sched_getaffinity(0))
        mine, its = (cores[:1], cores[1:2]) if self.apart else (cores, cores)
        with ExitStack() as stack:
            with _started_on(its):
                port = stack.enter_context(_service(base, self.frames, self.per_frame))
            ways = {"bare loop": self._bare, "snk": self._pull}
            for number in range(1, rounds + 1):
                for name in ways if number % 2 else reversed(ways):
                    with _started_on(mine):
                        figures = ways[name](port, base)
                    yield Result(words, name, number, figures)

    def _bare(self, port: int, base: int) -> dict[str, float]:
        arguments = [str(each) for each in (port, base, FRAME_SECONDS, self.frames, self.at_once)]
        done = subprocess.run([sys.executable, "-c", _BARE, *arguments], check=True, capture_output=True, text=True)
        seconds, used = map(float, done.stdout.split())
        return {"per_second": self.frames / seconds, "wrong": 0.0, "core_percent": 100 * used / seconds}

    def _pull(self, port: int, base: int) -> dict[str, float]:
        source: dict[str, object] = {"preset": "serve", "url": f"http://127.0.0.1:{port}/v1/records"}
        with tempfile.TemporaryDirectory(prefix="snk-bench-") as made:
            world = World(Path(made), port, self.frames, FRAME_SECONDS, base=written(base), source=source)
            world.configure(pulled=self.at_once)
            with world.running("pull") as pid:
                until(lambda: world.count() > 0)
                began, first, before = time.perf_counter(), world.count(), _used(pid)
                until(world.pulled)
                seconds, used = time.perf_counter() - began, _used(pid) - before
                peak = peak_mib([pid])
        figures = {"per_second": (self.frames - first) / seconds, "wrong": 0.0, "peak_mib": peak}
        return {**figures, "core_percent": 100 * used / seconds}


@contextmanager
def _started_on(cores: Collection[int]) -> Iterator[None]:
    """Processes that are started in the block run on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _used(pid: int) -> float:
    """Seconds of a processor that a process has used."""
    return sum(psutil.Process(pid).cpu_times()[:2])


@contextmanager
def _service(base: int, frames: int, per_frame: int) -> Iterator[int]:
    """A service with a table of its own; its port."""
    with database_server("snk-bench-") as (folder, database):
        asyncio.run(_fill(database, base, frames, per_frame))
        port = free_port()
        config = folder / "serve.toml"
        url = url_of(database, NAME)
        config.write_text(
            f'[serve]\ndatabase = "{url}"\nport = {port}\n[serve.datasets.records]\n'
            'table = "public.records"\nkey = "uid"\ntime = "at"\nread = ["uid", "at", "value", "text"]\n'
        )
        with serving(["-m", "snk", "serve", "--config", str(config)], f"http://127.0.0.1:{port}/health"):
            yield port


async def _fill(database: PostgresServer, base: int, frames: int, per_frame: int) -> None:
    await create_databases(database, [NAME])
    async with Server("database", url_of(database, NAME)).begin() as connection:
        numbers = {"base": base, "seconds": FRAME_SECONDS, "each": per_frame, "rows": frames * per_frame}
        for statement in TABLE.format(**numbers).split(";"):
            await connection.execute(sa.text(statement))


_BARE = """
import asyncio, sys, time
from datetime import UTC, datetime
import aiohttp, uvloop
port, base, seconds, frames, at_once = map(int, sys.argv[1:])
async def main():
    starts = iter(range(base, base + frames * seconds, seconds))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:
        async def get():
            for start in starts:
                name = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%dT%H:%M:%SZ}"
                target = f"http://127.0.0.1:{port}/v1/records/frames/{name}?seconds={seconds}"
                async with session.get(target) as answer:
                    await answer.read()
                    assert answer.status == 200, answer.status
        began, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(get() for _ in range(at_once)))
        print(time.perf_counter() - began, time.process_time() - used)
uvloop.run(main())
"""
