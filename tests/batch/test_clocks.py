"""Nodes whose machines show other times: only the clock of the database counts."""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kit.batch import ROOT, Consumer, World, serving, told
from tests.kit.databases import until

LEASE_SECONDS = 40.0
"""Longer than a busy machine takes, and shorter than the most that two of the clocks differ by."""
SKEWS = {"a": -30.0, "b": -15.0, "c": 0.0, "d": 15.0, "e": 30.0}
LOOKS = 15
"""So often a run of its own is called while the others are held."""
SHIFTED = """
import datetime, os, time

skew = float(os.environ["TESTS_SKEW_SECONDS"])
real, real_time, real_ns = datetime.datetime, time.time, time.time_ns


class Kind(type(real)):
    def __instancecheck__(cls, thing):
        return isinstance(thing, real)

    def __subclasscheck__(cls, kind):
        return issubclass(kind, real)


class Shifted(real, metaclass=Kind):
    __slots__ = ()  # modules in C look at its size

    @classmethod
    def now(cls, tz=None):
        return real.now(tz) + datetime.timedelta(seconds=skew)

    @classmethod
    def utcnow(cls):
        return real.utcnow() + datetime.timedelta(seconds=skew)

    @classmethod
    def today(cls):
        return real.today() + datetime.timedelta(seconds=skew)


datetime.datetime = Shifted
time.time = lambda: real_time() + skew
time.time_ns = lambda: real_ns() + int(skew * 1e9)
"""
"""A ``sitecustomize`` that a process imports before all else."""


@pytest.fixture
def world(world: World, tmp_path: Path) -> World:
    world.configure(lease_seconds=LEASE_SECONDS)
    (tmp_path / "sitecustomize.py").write_text(SHIFTED)  # once: nodes that start read it
    return world


def start(world: World, name: str, skew: float) -> None:
    """Start a node on a machine whose clock is wrong by so many seconds."""
    words = ["platform", "--name", name, "--port", "0", "--config", world.config]
    variables = {**os.environ, "PYTHONPATH": f"{world.folder}:{ROOT}", "TESTS_SKEW_SECONDS": str(skew)}
    with (world.folder / f"{name}.log").open("ab") as log:
        command = [sys.executable, "-m", "snk", "batch", *words]
        world.nodes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=variables)


def first_line(world: World, name: str) -> datetime:
    """What a node took for the time when it began to log."""
    found = re.search(r"\d{4}-\d\d-\d\dT[\d:.]+", world.log(name))
    assert found, world.log(name)
    return datetime.fromisoformat(found[0]).replace(tzinfo=UTC)


async def as_many(found: int, wanted: int) -> bool:
    return found >= wanted


@pytest.mark.long
async def test_five_nodes_whose_clocks_differ_by_a_minute_never_call_a_task_twice_at_once(world: World) -> None:
    under_way: Counter[str] = Counter()
    most: Counter[str] = Counter()
    names = [f"task{number}" for number in range(4)]

    gate = asyncio.Event()

    async def hold(call: dict[str, Any]) -> dict[str, Any]:
        task = call["task"]
        if task == "beacon":
            return told(call, "COMPLETED" if call["fence"] == LOOKS else "RUNNING")
        under_way[task] += 1
        most[task] = max(most[task], under_way[task])
        await gate.wait()
        under_way[task] -= 1
        return told(call, "COMPLETED" if call["fence"] > 3 else "RUNNING")

    async with serving(Consumer(hold)) as consumer:
        lines = f'consumers = ["{consumer.url}"]\ninterval_seconds = 0.1\ntimeout_seconds = 600\n'
        world.define("".join(f"[task.{name}]\n{lines}" for name in [*names, "beacon"]))
        began = datetime.now(UTC)
        start(world, "a", SKEWS["a"])  # to the others, its leases would be over
        for name in names:
            await asyncio.to_thread(world.snk, "trigger", name)
        await until(lambda: as_many(under_way.total(), len(names)), "all tasks to be called")
        for node in "bcde":
            start(world, node, SKEWS[node])
        for node in "bcde":
            await world.url(node)
        await asyncio.to_thread(world.snk, "trigger", "beacon")
        await until(
            lambda: as_many(sum(call["task"] == "beacon" for call in consumer.calls), LOOKS),
            "the nodes to look that often",
        )
        gate.set()

        async def all_ended() -> bool:
            runs = await world.runs()
            return len(runs) == len(names) + 1 and all(run["ended_at"] for run in runs)

        await until(all_ended, "all runs to end")
    assert most == dict.fromkeys(names, 1)
    calls = sorted((call["task"], call["fence"]) for call in consumer.calls if call["task"] != "beacon")
    assert calls == [(name, fence) for name in names for fence in (1, 2, 3, 4)]
    # The clocks were as wrong as they should be, so what is asserted above means something.
    assert first_line(world, "a") < began - timedelta(seconds=1)
    assert first_line(world, "e") > began + timedelta(seconds=SKEWS["e"])
