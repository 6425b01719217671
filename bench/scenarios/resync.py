"""How long it takes to check a project of multiple assignment, and how long other clients of Redis wait meanwhile.

Measures `snk resync check` as a process from start to end, and the original's way: one round trip for each key. Each
runs twice: once alone, for its time, and once while another client sends one GET after another and measures the longest
wait; *nobody* is that client alone.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bench.ground import Ground, run
from snk.resync.demo import METADATA

PROJECT = "BENCH"
TASK = 7
AT_ONCE = 10_000
PROBE_KEY = f"maic_{TASK}_1"
ALONE_SECONDS = 5.0

Way = Callable[[Ground, int, int], Awaitable[bool]]
"""Checks the project of so many sources and workers; returns whether it found both sides equal."""


async def prepare(ground: Ground, sources: int, workers: int) -> None:
    """Create the tables and the counters of one project whose sides are equal."""
    async with ground.sides[0].begin() as connection:
        await connection.run_sync(METADATA.create_all)
    await run(ground.sides[0], f"insert into cw_project values ('{PROJECT}', '1')")
    await run(ground.sides[0], f"insert into tb_prj_mst values ({TASK}, '{PROJECT}')")
    made = f"select {TASK}, '{PROJECT}', 'WORK_END', s, 1 + s % {workers} from generate_series(1, {sources}) s"
    await run(
        ground.sides[0],
        f"insert into tb_prj_data (prj_idx, project_id, prog_state_cd, src_idx, work_user) {made}",
    )
    await run(ground.sides[0], "vacuum analyze tb_prj_data")
    async with Redis.from_url(ground.pair.redis.dsn) as client:
        for start in range(1, sources + 1, AT_ONCE):
            some = range(start, min(start + AT_ONCE, sources + 1))
            await client.mset({f"maic_{TASK}_{source}": 1 for source in some})
        last = {1 + source % workers: source for source in range(1, sources + 1)}
        await client.mset({f"mapc_{TASK}_{worker}": source for worker, source in last.items()})


async def measure(ground: Ground, way: Way, sources: int, workers: int) -> dict[str, float]:
    """Return the seconds of one check, the longest and the 99.9th percentile wait of another client, and errors."""
    began = time.perf_counter()
    equal = await way(ground, sources, workers)
    seconds = time.perf_counter() - began
    ended = asyncio.Event()
    probing = asyncio.create_task(_probe(ground.pair.redis.dsn, ended))
    equal = await way(ground, sources, workers) and equal
    ended.set()
    waits = sorted(await probing)
    return {
        "seconds": seconds,
        "wait_ms": waits[-1] * 1000,
        "usual_wait_ms": waits[int(len(waits) * 0.999)] * 1000,
        "wrong": float(not equal),
    }


async def by_snk(ground: Ground, sources: int, workers: int) -> bool:  # noqa: ARG001 - it reads them itself
    """``snk resync check``."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "snk.toml"
        file.write_text(f'[resync]\ndatabase = "{ground.pair.first.dsn}"\nredis = "{ground.pair.redis.dsn}"\n')
        command = [sys.executable, "-m", "snk", "resync", "check", PROJECT, "--json", "--config", str(file)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        told, _ = await process.communicate()
    return process.returncode == 0 and bool(json.loads(told)["equal"])


async def by_key(ground: Ground, sources: int, workers: int) -> bool:
    """The original's way: it groups the rows in the database, and asks for each counter by itself."""
    program = [sys.executable, "-c", _BY_KEY, ground.pair.first.dsn, ground.pair.redis.dsn, str(sources), str(workers)]
    process = await asyncio.create_subprocess_exec(*program)
    return await process.wait() == 0


async def by_nobody(ground: Ground, sources: int, workers: int) -> bool:  # noqa: ARG001 - it does nothing
    """Nothing, for a while."""
    await asyncio.sleep(ALONE_SECONDS)
    return True


WAYS: dict[str, Way] = {"snk": by_snk, "one round trip a key": by_key, "nobody": by_nobody}

_BY_KEY = f"""
import asyncio, sys
import redis, sqlalchemy as sa
from snk.db.server import Server
dsn, url, sources, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
async def rows(query):
    async with Server("database", dsn, None).connect() as connection:
        return list(await connection.execute(sa.text(query)))
counts = asyncio.run(rows("select src_idx, count(*) from tb_prj_data where prj_idx = {TASK} group by 1"))
last = asyncio.run(rows("select work_user, max(src_idx) from tb_prj_data where prj_idx = {TASK} group by 1"))
client = redis.Redis.from_url(url)
equal = all(int(client.get(f"maic_{TASK}_{{source}}") or -1) == count for source, count in counts)
equal = equal and all(int(client.get(f"mapc_{TASK}_{{worker}}") or -1) == source for worker, source in last)
sys.exit(not (equal and len(counts) == sources and len(last) == workers))
"""


async def _probe(url: str, ended: asyncio.Event) -> list[float]:
    """How long each of many GETs took, one after another, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROBE, url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    await ended.wait()
    told, _ = await process.communicate(b"stop\n")
    waits: list[Any] = json.loads(told)
    return [float(wait) for wait in waits]


_PROBE = f"""
import json, redis, select, sys, time
client = redis.Redis.from_url(sys.argv[1])
client.get("{PROBE_KEY}")
waits = []
while not select.select([sys.stdin], [], [], 0)[0]:
    began = time.perf_counter()
    client.get("{PROBE_KEY}")
    waits.append(time.perf_counter() - began)
    time.sleep(0.001)
print(json.dumps(waits))
"""
