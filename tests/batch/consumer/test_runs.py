"""What becomes of calls: work is begun once, goes on after a crash, and is done by one consumer at a time."""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.batch.consumer.conftest import COUNT, NAMES, Provider
from tests.kit.consumer import Callbacks, ConsumerProcess, Front, ask, call, until_ended
from tests.kit.databases import Database, until

Make = Callable[..., ConsumerProcess]
MakeFile = Callable[..., dict[str, Any]]


async def same(provider: Database, consumer: Database, name: str = "t0") -> bool:
    both = [
        await each.rows(f"select * from {table} order by uid")
        for each, table in zip((provider, consumer), (name, f"loaded_{name}"), strict=True)
    ]
    return both[0] == both[1]


@pytest.mark.long
async def test_a_call_begins_the_work_and_the_same_call_only_reports(
    make: Make, file: MakeFile, front: Front, provider: Provider, database: Database
) -> None:
    one = await make().started()
    body = call({"t0": file()})
    status, told = await ask(one.url, body)
    assert (status, told["state"]) == (202, "RUNNING")
    told = await until_ended(one.url, body)
    digest = told["files"]["t0"]["digest"]
    assert told["state"] == "COMPLETED"
    assert told["files"]["t0"] == {
        "state": "COMPLETED",
        "expected": COUNT,
        "received": COUNT,
        "applied": COUNT,
        "rejected": 0,
        "digest": digest,
        "reason": "",
    }
    assert len(digest) == 32
    assert await same(provider.database, database)
    asked = len(front.came)
    assert (await ask(one.url, {**body, "fence": 2}))[0] == 200
    assert (await ask(one.url, {**body, "fence": 2}))[1]["state"] == "COMPLETED"
    assert len(front.came) == asked

    async def forgotten() -> bool:
        return not await database.rows("select 1 from snk_batch_consumer.staged limit 1")

    await until(forgotten, "what was loaded to be forgotten")


async def test_runs_of_two_platforms_with_the_same_number_are_two_runs(
    make: Make, file: MakeFile, callbacks: Callbacks, database: Database
) -> None:
    """So is a run of a platform whose database was made anew."""
    one = await make().started()
    first = await until_ended(one.url, call({"t0": file()}, callback=callbacks.url))
    other = call({"t1": file("t1")}, uid="0a0d2c9e-1c9b-4f1e-8c1e-3a1d5b6f7a88", callback=callbacks.url)
    second = await until_ended(one.url, other)
    assert [list(each["files"]) for each in (first, second)] == [["t0"], ["t1"]]
    assert second["files"]["t1"]["applied"] == COUNT
    assert await database.value("select count(*) from loaded_t1") == COUNT
    assert (await ask(one.url, call({"t0": file()})))[1]["files"] == first["files"]


@pytest.mark.long
async def test_a_call_of_an_older_fence_is_refused(make: Make, file: MakeFile) -> None:
    one = await make().started()
    body = call({"t0": file()}, fence=5)
    assert (await ask(one.url, body))[0] == 202
    status, problem = await ask(one.url, {**body, "fence": 4})
    assert (status, problem["type"]) == (409, "urn:snk:problem:stale-fence")
    assert (await ask(one.url, body))[0] in (200, 202)
    status, problem = await ask(one.url, {**body, "task": "others"})
    assert (status, problem["field"]) == (422, "task")
    status, problem = await ask(one.url, {"run": "x"})
    assert (status, problem["field"]) == (422, "run")


@pytest.mark.long
async def test_files_are_loaded_side_by_side_and_each_ends_on_its_own(
    make: Make, file: MakeFile, front: Front, provider: Provider, database: Database
) -> None:
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    front.says = lambda request: wait() if request.path == "/v1/t0" else None
    one = await make().started()
    files = {name: file(name) for name in NAMES} | {"t1": file("t1", target="public.nowhere")}
    body = call(files)
    await ask(one.url, body)

    async def others_ended() -> bool:
        _, told = await ask(one.url, body)
        states = [told["files"][name]["state"] for name in NAMES]
        return states == ["RUNNING", "FAILED", "COMPLETED", "COMPLETED", "COMPLETED"]

    await until(others_ended, "all others to end")
    assert (await ask(one.url, body))[1]["state"] == "RUNNING"
    gate.set()
    told = await until_ended(one.url, body)
    assert told["state"] == "FAILED"
    assert told["reason"].startswith("t1: options.target is 'public.nowhere'")
    for name in ("t0", "t2", "t3", "t4"):
        assert await same(provider.database, database, name)


@pytest.mark.long
async def test_only_the_files_of_a_call_are_run_again(
    make: Make, file: MakeFile, front: Front, provider: Provider, database: Database
) -> None:
    one = await make().started()
    files = {"t0": file(), "t1": file("t1", columns=["uid", "missing"])}
    assert (await until_ended(one.url, call(files)))["state"] == "FAILED"
    front.came.clear()
    body = call({"t1": file("t1")}, fence=3, since=3)
    told = await until_ended(one.url, body)
    assert {name: each["state"] for name, each in told["files"].items()} == {"t0": "COMPLETED", "t1": "COMPLETED"}
    assert (told["state"], told["fence"], told["reason"]) == ("COMPLETED", 3, "")
    assert not front.pages("t0")
    assert await same(provider.database, database, "t1")


@pytest.mark.long
async def test_a_consumer_that_is_killed_goes_on_at_the_next_page(
    make: Make, file: MakeFile, front: Front, provider: Provider, database: Database
) -> None:
    held = asyncio.Event()

    async def wait() -> None:
        await held.wait()

    front.says = lambda request: wait() if request.query.get("after", "") >= "t0-00000150" else None
    one = await make(page_rows=50).started()
    body = call({"t0": file()})
    await ask(one.url, body)

    async def stored() -> bool:
        return bool(await database.value("select received from snk_batch_consumer.file where name = 't0'") == 150)

    await until(stored, "three pages to be stored")
    one.kill()
    held.set()
    front.says = lambda _: None
    front.came.clear()
    await one.started()
    told = await until_ended(one.url, body)
    assert (told["state"], told["files"]["t0"]["received"]) == ("COMPLETED", COUNT)
    assert front.pages("t0") == ["t0-00000150", "t0-00000200"]
    assert await same(provider.database, database)


@pytest.mark.long
async def test_of_two_consumers_one_works_and_the_other_takes_over(
    make: Make, file: MakeFile, front: Front, provider: Provider, database: Database
) -> None:
    held = asyncio.Event()

    async def wait() -> None:
        await held.wait()

    front.says = lambda request: wait() if request.query.get("after", "") >= "t0-00000100" else None
    one, two = await make("one").started(), await make("two").started()
    body = call({"t0": file()})
    answers = await asyncio.gather(*(ask(each.url, body) for each in (one, two, one, two)))
    assert [status for status, _ in answers] == [202] * 4

    async def stored() -> bool:
        return bool(await database.value("select received from snk_batch_consumer.file") == 100)

    await until(stored, "the first page to be stored")
    assert front.pages("t0") == [None, "t0-00000100"]
    holder = await database.value("select holder from snk_batch_consumer.run")
    first, second = (one, two) if holder.endswith(f"-{one.process.pid}") else (two, one)  # type: ignore[union-attr]
    first.process.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]

    async def taken_over() -> bool:
        await ask(second.url, body)
        return bool(await database.value("select holder from snk_batch_consumer.run") != holder)

    await until(taken_over, "the other one to work on it")
    held.set()
    told = await until_ended(second.url, body)
    assert (told["state"], told["files"]["t0"]["received"]) == ("COMPLETED", COUNT)
    first.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    assert (await until_ended(first.url, body)) == told
    assert await same(provider.database, database)

    async def noticed() -> bool:
        return "lease_lost" in first.log or "run_overtaken" in first.log

    await until(noticed, "the one that slept to notice")


@pytest.mark.long
async def test_a_consumer_that_is_stopped_lets_go_of_its_runs_at_once(
    make: Make, file: MakeFile, front: Front, database: Database
) -> None:
    held = asyncio.Event()

    async def wait() -> None:
        await held.wait()

    front.says = lambda _: wait()
    one = await make(lease_seconds=3600).started()
    body = call({"t0": file()})
    await ask(one.url, body)

    async def asked() -> bool:
        return bool(front.came)

    await until(asked, "the provider to be asked")
    began = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - began < 60
    assert await database.rows("select working_until, state from snk_batch_consumer.run") == [(None, "RUNNING")]
    held.set()
    front.says = lambda _: None
    two = await make("two").started()
    assert (await until_ended(two.url, body))["state"] == "COMPLETED"


@pytest.mark.long
async def test_a_task_without_files_is_complete(make: Make, callbacks: Callbacks) -> None:
    one = await make().started()
    status, told = await ask(one.url, call({}, callback=callbacks.url))
    assert (status, told["state"]) == (200, "COMPLETED")


@pytest.mark.long
async def test_reports_are_sent_until_they_are_taken(
    make: Make, file: MakeFile, callbacks: Callbacks, database: Database
) -> None:
    await callbacks.stop()
    one = await make().started()
    body = call({"t0": file()}, callback=callbacks.url)
    assert (await until_ended(one.url, body))["state"] == "COMPLETED"

    async def tried() -> bool:
        return bool(await database.value("select tries from snk_batch_consumer.outbox"))

    await until(tried, "a report to be tried in vain")
    one.kill()
    callbacks.says = lambda _: 503 if len(callbacks.came) < 2 else 200
    await callbacks.start()
    await one.started()

    async def empty() -> bool:
        return not await database.rows("select 1 from snk_batch_consumer.outbox")

    await until(empty, "the report to be taken")
    assert len(callbacks.came) >= 2
    last = callbacks.came[-1]
    assert (last["state"], last["fence"], last["files"]["t0"]["applied"]) == ("COMPLETED", 1, COUNT)


@pytest.mark.long
async def test_a_report_that_is_refused_for_good_is_not_sent_again(
    make: Make, file: MakeFile, callbacks: Callbacks, database: Database
) -> None:
    callbacks.says = lambda _: 410
    one = await make().started()
    await until_ended(one.url, call({"t0": file()}, callback=callbacks.url))

    async def given_up() -> bool:
        return not await database.rows("select 1 from snk_batch_consumer.outbox")

    await until(given_up, "the report to be given up")
    assert "report_refused" in one.log
    assert callbacks.came[-1]["state"] == "COMPLETED"


@pytest.mark.long
async def test_runs_are_listed(make: Make, file: MakeFile) -> None:
    one = await make().started()
    await until_ended(one.url, call({"t0": file(), "t1": file("t1", target="public.nowhere")}))
    (run,) = json.loads(one.snk("runs", "--json").stdout)["runs"]
    assert (run["number"], run["task"], run["state"]) == (1, "prices", "FAILED")
    assert [each["applied"] for each in run["files"]] == [COUNT, None]
    shown = one.snk("runs").stdout
    assert "COMPLETED    t0  expected 250, received 250, applied 250, rejected 0" in shown
    assert "nowhere" in shown
