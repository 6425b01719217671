"""How soon a platform starts very many tasks that are due at the same moment, and what finished runs cost it.

Then how soon it starts a single task that a message is for.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import psutil

from bench.ground import Ground, ground, number, run
from bench.results import Result
from bench.scenarios import queued
from bench.scenarios.consumer import consumer, figures, report
from bench.scenarios.pipeline import until
from snk.embedded.process import free_port

INTERVAL_SECONDS = 3600
WARM_MESSAGES = 3


@dataclass(frozen=True, slots=True)
class Due:
    """Tasks that are due at one moment, on a database that holds so many finished runs.

    Attributes:
        finished: runs, one case each.
    """

    tasks: int
    finished: tuple[int, ...]

    def run(self, rounds: int) -> Iterator[Result]:
        """Run all cases, round by round; the one of procrastinate only if that is installed."""
        ways: dict[str, Callable[[int], dict[str, float]]] = {
            f"snk, {finished:,} finished runs": partial(_due, finished=finished) for finished in self.finished
        }
        if find_spec("procrastinate"):
            ways["procrastinate"] = queued.due
        for at in range(1, rounds + 1):
            for name in ways if at % 2 else reversed(ways):
                yield Result(f"{self.tasks:,} tasks due at once", name, at, ways[name](self.tasks))


@dataclass(frozen=True, slots=True)
class Sent:
    """Messages, one after the other, each of which starts a task; from its sending until the consumer is called.

    Attributes:
        messages: how many.
    """

    messages: int

    def run(self, rounds: int) -> Iterator[Result]:
        """Send them, round by round."""
        for at in range(1, rounds + 1):
            yield Result("a message starts a task", "snk", at, _sent(self.messages))


def _due(tasks: int, finished: int) -> dict[str, float]:
    with (
        ground() as fresh,
        tempfile.TemporaryDirectory() as folder,
        consumer() as port,
        _platform(fresh, Path(folder), "".join(_task(each, port) for each in range(tasks)), finished) as (node, _),
    ):
        watched = psutil.Process(node)
        before, moment = watched.cpu_times(), asyncio.run(_make_due(fresh))
        until(lambda: report(port)["count"] >= tasks)
        told, spent = report(port), watched.cpu_times()
        until(lambda: asyncio.run(_completed(fresh)) >= tasks)
        return figures(tasks, told, moment, sum(spent[:2]) - sum(before[:2]))


def _sent(messages: int) -> dict[str, float]:
    with (
        ground() as fresh,
        tempfile.TemporaryDirectory() as folder,
        consumer() as port,
        _platform(fresh, Path(folder), f'{_task(0, port)}message = "ready"\n', 0) as (_, address),
    ):
        waits = [_wait(address, port, each) for each in range(WARM_MESSAGES + messages)][WARM_MESSAGES:]
        told = report(port)
    return {
        "median_ms": statistics.median(waits) * 1000,
        "p95_ms": statistics.quantiles(waits, n=20)[-1] * 1000 if messages > 1 else waits[0] * 1000,
        "lost": WARM_MESSAGES + messages - told["runs"],
    }


def _wait(address: str, port: int, number: int) -> float:
    """Send a message; the seconds until the consumer was called."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(number)}
    request = urllib.request.Request(f"{address}/v1/messages", b'{"message": "ready"}', headers)  # noqa: S310 - of ours
    sent = time.time()
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        answer.read()
    until(lambda: report(port)["count"] > number)
    return report(port)["last"] - sent


@contextmanager
def _platform(fresh: Ground, folder: Path, definitions: str, finished: int) -> Iterator[tuple[int, str]]:
    """A node, with its tasks, and with runs that have ended long ago: its id, and its address."""
    config, port = folder / "snk.toml", free_port()
    config.write_text(f'[batch]\ndatabase = "{fresh.pair.first.dsn}"\nport = {port}\n')
    (folder / "tasks.toml").write_text(definitions)
    for words in (["init"], ["apply", str(folder / "tasks.toml"), "--yes"]):
        _snk(config, *words, check=True).wait()
    asyncio.run(_fill(fresh, finished))
    node = _snk(config, "platform", "--log-format", "json")
    try:
        until(lambda: asyncio.run(number(fresh.sides[0], "select count(*) from snk_batch.node")) == 1)
        yield node.pid, f"http://127.0.0.1:{port}"
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
