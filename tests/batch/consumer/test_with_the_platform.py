"""A node of the platform and consumers, as processes: from the trigger to the end."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.batch.consumer.conftest import COUNT, NAMES
from tests.kit.batch import World
from tests.kit.consumer import COLUMNS, ConsumerProcess, Front
from tests.kit.databases import Database, until

Make = Callable[..., ConsumerProcess]


def definition(one: ConsumerProcess, two: ConsumerProcess, front: Front) -> str:
    consumers = json.dumps(sorted({f"{each.url}/v1/tasks/prices" for each in (one, two)}))
    lines = [f"[task.prices]\nconsumers = {consumers}\ninterval_seconds = 0.2\nretry_first_ms = 50"]
    for name in NAMES:
        lines += [
            f'[task.prices.files.{name}]\nsource = "{front.url}/v1/{name}"',
            f'[task.prices.files.{name}.options]\ntarget = "public.loaded_{name}"\nkey = "uid"',
            f'columns = {json.dumps(COLUMNS)}\nfrom = "{{payload.day}}T00:00:00Z"\nhours = 24',
        ]
    return "\n".join(lines) + "\n"


async def test_a_trigger_leads_to_equal_tables_though_a_consumer_dies(
    make: Make, front: Front, database: Database, world: World
) -> None:
    one, two = await make("one").started(), await make("two").started()
    world.define(definition(one, two, front))
    slow = True

    def refuse(request: Any) -> int | None:
        return 503 if slow and request.path == "/v1/t4" else None

    front.says = refuse
    world.start("a")
    triggered = world.snk("trigger", "prices", "--payload", '{"day": "2026-11-25"}', "--json")
    run = json.loads(triggered.stdout)["run"]

    async def nearly() -> bool:
        files = await database.rows("select 1 from snk_batch_consumer.file where state = 'COMPLETED'")
        return len(files) == len(NAMES) - 1

    await until(nearly, "all files but one to be loaded")
    holder = await database.value("select holder from snk_batch_consumer.run")
    (one if holder.endswith(f"-{one.process.pid}") else two).kill()  # type: ignore[union-attr]
    slow = False

    async def ended() -> bool:
        return bool((await world.runs())[0]["ended_at"])

    await until(ended, "the run to end")
    shown = json.loads(world.snk("show", str(run), "--json").stdout)
    assert shown["state"] == "COMPLETED"
    assert [each["applied"] for each in shown["files"]] == [COUNT] * len(NAMES)
    assert {each["state"] for each in shown["files"]} == {"COMPLETED"}
    assert all(len(each["digest"]) == 32 for each in shown["files"])
    assert front.pages("t0").count(None) == 1


@dataclass
class Stopped:
    """A run that waits for its provider, and what is done to it."""

    consumer: ConsumerProcess
    front: Front
    database: Database
    world: World
    run: int = 0

    async def begin(self) -> None:
        """The provider is away, the run is triggered, and its consumer has begun it."""
        self.front.says = lambda _: 503
        await self.consumer.started()
        self.world.define(definition(self.consumer, self.consumer, self.front))
        self.world.start("a")
        triggered = await asyncio.to_thread(
            self.world.snk, "trigger", "prices", "--payload", '{"day": "2026-11-25"}', "--json"
        )
        self.run = json.loads(triggered.stdout)["run"]

        async def under_way() -> bool:
            tried = await self.database.rows("select 1 from snk_batch_consumer.file where reason like '%503%'")
            return bool(tried) and (await self.world.runs())[0]["state"] == "RUNNING"

        await until(under_way, "the provider to be missed")

    async def cancel(self) -> None:
        done = await asyncio.to_thread(self.world.snk, "cancel", str(self.run), "--reason", "the wrong day")
        assert done.returncode == 0, done.stderr

    async def expect_nothing_written(self) -> None:
        """The consumer has stopped the run, and writes nothing though the provider is back."""

        async def cancelled() -> bool:
            return bool(await self.database.value("select state from snk_batch_consumer.run") == "CANCELLED")

        await until(cancelled, "the consumer to stop the run")
        self.front.says = lambda _: None

        async def idle() -> bool:
            async with aiohttp.ClientSession() as session, session.get(f"{self.consumer.url}/status") as answer:
                return (await answer.json())["runs"] == []

        await until(idle, "the consumer to let go of the run")
        for name in NAMES:
            assert await self.database.value(f"select count(*) from loaded_{name}") == 0
        (known,) = json.loads((await asyncio.to_thread(self.consumer.snk, "runs", "--json")).stdout)["runs"]
        assert [each["state"] for each in (known, *known["files"])] == ["CANCELLED"] * (1 + len(NAMES))

        async def noted() -> bool:
            return bool(await self.world.database.rows("select 1 from snk_batch.stop where told_at is not null"))

        await until(noted, "a node to note that")
        found = await asyncio.to_thread(self.world.snk, "show", str(self.run), "--json")
        shown = json.loads(found.stdout)
        assert (shown["state"], {each["state"] for each in shown["files"]}) == ("CANCELLED", {"CANCELLED"})


@pytest.fixture
def stopped(make: Make, front: Front, database: Database, world: World) -> Stopped:
    return Stopped(make(), front, database, world)


@pytest.mark.long
async def test_a_run_that_is_cancelled_while_its_provider_is_away_loads_nothing(stopped: Stopped) -> None:
    await stopped.begin()
    await stopped.cancel()
    await stopped.expect_nothing_written()


@pytest.mark.long
async def test_a_consumer_that_was_down_at_the_cancel_is_told_when_it_is_back(stopped: Stopped) -> None:
    await stopped.begin()
    stopped.consumer.kill()
    await stopped.cancel()

    async def shown() -> bool:
        found = await asyncio.to_thread(stopped.world.snk, "show", str(stopped.run))
        return (
            "its consumer does not know yet that it has ended: " in found.stdout and "cannot be reached" in found.stdout
        )

    await until(shown, "it to be shown that the consumer does not know")
    await stopped.consumer.started()
    await stopped.expect_nothing_written()


@pytest.mark.long
async def test_another_node_tells_what_a_dead_one_did_not(stopped: Stopped) -> None:
    await stopped.begin()
    stopped.world.nodes["a"].kill()
    await stopped.cancel()
    assert await stopped.world.database.rows("select 1 from snk_batch.stop where told_at is null")
    stopped.world.start("b")
    await stopped.expect_nothing_written()
