"""How soon a platform starts very many tasks that are due at the same moment, and what finished runs cost it.

The consumer answers every call at once, and tells how many came and when the first and the last did.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.ground import Ground, ground, number, run
from bench.results import Result
from bench.scenarios.pipeline import serving, until
from snk.embedded.process import free_port

INTERVAL_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Due:
    """Tasks that are due at one moment, on a database that holds so many finished runs.

    Attributes:
        finished: runs, one case each.
    """

    tasks: int
    finished: tuple[int, ...]

    def run(self, rounds: int) -> Iterator[Result]:
        """Run all cases, round by round."""
        for at in range(1, rounds + 1):
            for finished in self.finished if at % 2 else reversed(self.finished):
                name = f"{self.tasks:,} tasks due at once"
                yield Result(name, f"snk, {finished:,} finished runs", at, _due(self.tasks, finished))


def _due(tasks: int, finished: int) -> dict[str, float]:
    with (
        ground() as fresh,
        tempfile.TemporaryDirectory() as folder,
        _consumer() as consumer,
        _platform(fresh, Path(folder), consumer, tasks, finished) as node,
    ):
        watched = psutil.Process(node.pid)
        moment = asyncio.run(_make_due(fresh))
        until(lambda: _report(consumer)["count"] >= tasks)
        told = _report(consumer)
        spent = watched.cpu_times()
        until(lambda: asyncio.run(_completed(fresh)) >= tasks)
        return {
            "started_seconds": told["last"] - moment,
            "first_ms": (told["first"] - moment) * 1000,
            "per_second": tasks / (told["last"] - moment),
            "own_cpu": spent.user + spent.system,
            "lost": tasks - told["runs"],
        }


@contextmanager
def _consumer() -> Iterator[int]:
    port = free_port()
    with serving(["-c", _CONSUMER, str(port)], f"http://127.0.0.1:{port}/report"):
        yield port


def _report(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/report", timeout=30) as answer:
        found: dict[str, float] = json.load(answer)
        return found


@contextmanager
def _platform(
    fresh: Ground, folder: Path, consumer: int, tasks: int, finished: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A node, with its tasks, and with runs that have ended long ago."""
    config = folder / "snk.toml"
    config.write_text(f'[batch]\ndatabase = "{fresh.pair.first.dsn}"\nport = 0\n')
    definitions = folder / "tasks.toml"
    definitions.write_text("".join(_task(each, consumer) for each in range(tasks)))
    for words in (["init"], ["apply", str(definitions), "--yes"]):
        _snk(config, *words, check=True).wait()
    asyncio.run(_fill(fresh, finished))
    node = _snk(config, "platform", "--log-format", "json")
    try:
        until(lambda: asyncio.run(number(fresh.sides[0], "select count(*) from snk_batch.node")) == 1)
        yield node
    finally:
        node.terminate()
        node.wait()


def _task(each: int, consumer: int) -> str:
    address = f"http://127.0.0.1:{consumer}/v1/tasks/t{each}"
    return f'[task.t{each}]\nconsumers = ["{address}"]\ncron = "0 0 * * *"\ninterval_seconds = {INTERVAL_SECONDS}\n'


def _snk(config: Path, *words: str, check: bool = False) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "snk", "batch", *words, "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    if check and process.wait():
        raise RuntimeError(f"snk batch {words[0]} failed")
    return process


async def _fill(fresh: Ground, finished: int) -> None:
    """Runs that have ended, with an attempt, a file and lines of the audit each, as a platform leaves them."""
    side = fresh.sides[0]
    for statement in (
        (
            "insert into snk_batch.run (task, key, state, payload, fence, calls, created_at, started_at, ended_at)"
            " select 't' || n % 1000, 'old ' || n, 'COMPLETED', '{}', 1, 1, now(), now(), now()"
            f" from generate_series(1, {finished}) n"
        ),
        (
            "insert into snk_batch.trigger (target, key, source, payload, outcome, run)"
            " select task, key, 'message', '{}', 'run', id from snk_batch.run"
        ),
        (
            "insert into snk_batch.attempt (run, fence, node, consumer, outcome, began_at)"
            " select id, 1, 'a', 'http://consumer', 'COMPLETED', now() from snk_batch.run"
        ),
        "insert into snk_batch.file (run, name, state) select id, 'records', 'COMPLETED' from snk_batch.run",
        "insert into snk_batch.audit (who, what, subject) select 'a', 'completed', 'run ' || id from snk_batch.run",
        "analyze snk_batch.run",
    ):
        await run(side, statement)


async def _make_due(fresh: Ground) -> float:
    """Make the tick of this midnight one that was missed, for all tasks; return when, in seconds since 1970."""
    moment = time.time()
    await run(fresh.sides[0], "update snk_batch.task set next_tick = date_trunc('day', now(), 'UTC')")
    return moment


async def _completed(fresh: Ground) -> int:
    return await number(
        fresh.sides[0], "select count(*) from snk_batch.run where state = 'COMPLETED' and key like 'calendar %'"
    )


_CONSUMER = """
import sys, time
from aiohttp import web
import orjson, uvloop
first = last = 0.0
count = 0
runs = set()
async def call(request):
    global first, last, count
    asked = orjson.loads(await request.read())
    last = time.time()
    first = first or last
    count += 1
    runs.add(asked["run"])
    told = {"fence": asked["fence"], "state": "COMPLETED", "files": {}}
    return web.Response(body=orjson.dumps(told), content_type="application/json")
async def report(request):
    return web.json_response({"first": first, "last": last, "count": count, "runs": len(runs)})
app = web.Application()
app.router.add_post("/v1/tasks/{task}", call)
app.router.add_get("/report", report)
uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
