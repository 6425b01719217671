"""A node is killed in the middle of work: how long it takes until another one goes on, with the settings as they come.

``pytest tests/batch/test_takeover.py --long --runs 20`` tells the seconds of twenty kills.
"""

import asyncio
import time
from typing import Any

import pytest

from snk.batch.settings import Batch
from tests.kit.batch import Consumer, World, serving, told
from tests.kit.databases import until

DEFAULTS = {name: Batch.model_fields[name].default for name in ("lease_seconds", "poll_seconds")}
"""As they are when nobody sets them; those of the kit are shorter."""


@pytest.fixture
def world(world: World) -> World:
    world.configure(**DEFAULTS)
    return world


@pytest.mark.long
async def test_the_work_of_a_killed_node_goes_on_at_another_one(
    world: World, run: int, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = asyncio.Event()
    entered: list[float] = []

    async def first_hangs(call: dict[str, Any]) -> dict[str, Any]:
        entered.append(time.monotonic())
        if call["fence"] == 1:
            await gate.wait()
        return told(call)

    async with serving(Consumer(first_hangs)) as consumer:
        world.define(f'[task.prices]\nconsumers = ["{consumer.url}"]\ntimeout_seconds = 600\n')
        world.start("a")
        await asyncio.to_thread(world.snk, "trigger", "prices")

        async def in_a_call() -> bool:
            return bool(entered)

        await until(in_a_call, "the first call")
        world.start("b")
        await world.url("b")
        world.nodes["a"].kill()
        killed = time.monotonic()

        async def complete() -> bool:
            return (await world.runs())[0]["state"] == "COMPLETED"

        await until(complete, "the other node to end the run")
        with capsys.disabled():
            print(f"\nkill {run}: the next call after {entered[1] - killed:.2f} s")
        fences = [call["fence"] for call in consumer.calls]
        assert fences == sorted(set(fences)), "each call has a fence of its own, higher than those before"
        noted = await world.database.rows("select distinct node from snk_batch.attempt")
        assert noted == [("b",)], "the node that was killed noted nothing"
        gate.set()
