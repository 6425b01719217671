"""A node of the platform and consumers, as processes: from the trigger to the end."""

import json
from collections.abc import Callable
from typing import Any

from tests.batch.consumer.conftest import COUNT, NAMES
from tests.kit.batch import World
from tests.kit.consumer import COLUMNS, ConsumerProcess, Front
from tests.kit.databases import Database, until

Make = Callable[..., ConsumerProcess]


def definition(one: ConsumerProcess, two: ConsumerProcess, front: Front) -> str:
    consumers = json.dumps([f"{each.url}/v1/tasks/prices" for each in (one, two)])
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
