"""Nodes as processes: what they call, what becomes of it, and what happens when one dies, sleeps, or is cut off."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.kit.batch import Consumer, Says, World, serving, told
from tests.kit.databases import DEADLINE_SECONDS, until


@pytest.fixture
async def consumer() -> AsyncIterator[Consumer]:
    async with serving(Consumer()) as made:
        yield made


@pytest.fixture
def patient() -> Iterator[asyncio.Event]:
    """An event for which a call may wait; it is set at the end."""
    event = asyncio.Event()
    yield event
    event.set()


def first_hangs(patient: asyncio.Event, first: str = "COMPLETED") -> Says:
    """The first call of a run is answered with this state once the event is set, and others are complete at once."""

    async def says(call: dict[str, Any]) -> dict[str, Any]:
        if call["fence"] == 1:
            await patient.wait()
            return told(call, first)
        return told(call)

    return says


def task(consumer: Consumer, name: str = "prices", more: str = "") -> str:
    return f'[task.{name}]\nconsumers = ["{consumer.url}"]\ninterval_seconds = 0.2\nretry_first_ms = 50\n{more}\n'


async def ended(world: World, count: int) -> list[dict[str, Any]]:
    """All runs, when so many have ended and none is under way."""

    async def all_ended() -> bool:
        runs = await world.runs()
        return len(runs) >= count and all(run["ended_at"] for run in runs)

    await until(all_ended, f"{count} runs to end")
    return await world.runs()


@pytest.mark.long
async def test_a_consumer_is_called_again_until_it_says_that_its_work_is_complete(
    world: World, consumer: Consumer
) -> None:
    world.define(task(consumer, more='files.trades = { executor = "own", source = "http://p/v1/trades" }'))

    def says(call: dict[str, Any]) -> dict[str, Any]:
        state = "COMPLETED" if len(consumer.calls) == 3 else "RUNNING"
        return told(call, state, trades={"state": state, "received": 7})

    consumer.says = says
    world.start("a")
    triggered = world.snk("trigger", "prices", "--payload", '{"day": "2026-11-25"}', "--json")
    assert json.loads(triggered.stdout)["outcome"] == "run"
    (run,) = await ended(world, 1)
    assert (run["state"], run["calls"], run["tries"]) == ("COMPLETED", 3, 0)
    first = consumer.calls[0]
    assert (first["task"], first["payload"]) == ("prices", {"day": "2026-11-25"})
    assert first["files"]["trades"]["source"] == "http://p/v1/trades"
    assert [call["fence"] for call in consumer.calls] == [1, 2, 3]
    shown = json.loads(world.snk("show", str(run["id"]), "--json").stdout)
    assert shown["files"][0]["received"] == 7
    assert [each["what"] for each in shown["audit"]] == ["triggered (run)", "called", "completed"]


@pytest.mark.long
async def test_a_consumer_that_never_answers_well_fails_the_run_and_a_person_runs_it_again(
    world: World, consumer: Consumer
) -> None:
    world.define(task(consumer, more="most_tries = 3"))
    consumer.says = lambda _: 503
    world.start("a")
    world.snk("trigger", "prices")
    (run,) = await ended(world, 1)
    assert (run["state"], run["calls"]) == ("FAILED", 3)
    assert "3 calls in a row failed; the last one: it answers 503: no" in run["reason"]
    why = world.snk("why", "prices")
    assert (why.returncode, f"`snk batch rerun {run['id']}`" in why.stdout) == (1, True)
    consumer.says = told
    assert world.snk("rerun", str(run["id"]), "--reason", "it is mended").returncode == 0
    (run,) = await ended(world, 1)
    assert run["state"] == "COMPLETED"
    assert world.snk("rerun", str(run["id"]), "--reason", "again").returncode == 2


@pytest.mark.long
async def test_a_long_report_is_read_whole_and_one_that_is_too_long_is_named(world: World, consumer: Consumer) -> None:
    names = [f"f{number}" for number in range(60)]
    lines = "".join(f'[task.prices.files.{name}]\nexecutor = "ours"\n' for name in names)
    world.define(task(consumer, more=f"most_tries = 2\n{lines}"))
    failed = {"state": "FAILED", "reason": "x" * 2000}
    consumer.says = lambda call: told(call, "FAILED", **dict.fromkeys(names, failed))
    world.start("a")
    world.snk("trigger", "prices")
    (run,) = await ended(world, 1)
    assert (run["state"], run["calls"]) == ("FAILED", 1)
    consumer.says = lambda call: {**told(call), "more": "x" * 5_000_000}
    world.snk("trigger", "prices")
    run = (await ended(world, 2))[-1]
    assert (run["state"], run["calls"]) == ("FAILED", 2)
    assert "its answer is longer than 4,194,304 bytes, of which no more are read" in run["reason"]


async def test_when_a_node_is_killed_in_a_call_another_one_goes_on(
    world: World, consumer: Consumer, patient: asyncio.Event
) -> None:
    world.define(task(consumer))
    consumer.says = first_hangs(patient)
    world.start("a")
    world.snk("trigger", "prices")
    await until_called(consumer, 1)
    world.start("b")
    world.nodes["a"].kill()
    (run,) = await ended(world, 1)
    assert (run["state"], run["fence"]) == ("COMPLETED", 2)


@pytest.mark.long
async def test_a_node_that_is_stopped_in_a_long_call_ends_and_gives_the_run_back_at_once(
    world: World, consumer: Consumer, patient: asyncio.Event
) -> None:
    world.configure(lease_seconds=3600)  # so nobody gets the run by waiting
    world.define(task(consumer, more="timeout_seconds = 600"))
    consumer.says = first_hangs(patient)
    world.start("a")
    await asyncio.to_thread(world.snk, "trigger", "prices")
    await until_called(consumer, 1)
    world.nodes["a"].terminate()
    assert await asyncio.to_thread(world.nodes["a"].wait, DEADLINE_SECONDS) == 0, world.log("a")
    assert "call_broken_off" in world.log("a")
    (run,) = await world.runs()
    assert (run["node"], run["lease_until"], run["active"], run["fence"]) == (None, None, True, 1)
    world.start("b")
    (run,) = await ended(world, 1)
    assert (run["state"], run["fence"], run["calls"]) == ("COMPLETED", 2, 1)


@pytest.mark.long
@pytest.mark.parametrize("asleep", [0, pytest.param(30, marks=pytest.mark.full)])
async def test_a_node_that_slept_changes_nothing_when_it_wakes(
    world: World, consumer: Consumer, patient: asyncio.Event, asleep: float
) -> None:
    world.define(task(consumer))
    consumer.says = first_hangs(patient, "FAILED")
    world.start("a")
    world.snk("trigger", "prices")
    await until_called(consumer, 1)
    world.nodes["a"].send_signal(signal.SIGSTOP)
    patient.set()  # the answer waits for the node
    world.start("b")
    before = await ended(world, 1)
    await asyncio.sleep(asleep)
    world.nodes["a"].send_signal(signal.SIGCONT)

    async def woken() -> bool:
        return "run_overtaken" in world.log("a")

    await until(woken, "the node to find that it was overtaken")
    assert await world.runs() == before
    assert before[0]["state"] == "COMPLETED"


@pytest.mark.long
async def test_five_nodes_call_no_run_twice_at_once(world: World, consumer: Consumer) -> None:
    world.configure(lease_seconds=60)  # a busy machine must not make a node lose what it holds
    names = [f"task{number}" for number in range(4)]
    # The commands below keep the consumer from answering, which is in this process.
    world.define("".join(task(consumer, name, "timeout_seconds = 600") for name in names))

    async def slow(call: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return told(call, "COMPLETED" if call["fence"] > 3 else "RUNNING")

    consumer.says = slow
    for node in "abcde":
        world.start(node)
    for name in names:  # beside the consumer, which would not answer in time on a busy machine
        await asyncio.to_thread(world.snk, "trigger", name)
    runs = await ended(world, len(names))
    assert {run["state"] for run in runs} == {"COMPLETED"}
    assert consumer.most_at_once == 1
    fences = sorted((call["run"], call["fence"]) for call in consumer.calls)
    assert len(set(fences)) == len(fences)


@pytest.mark.long
async def test_a_group_in_order_stops_at_a_task_that_fails_and_goes_on_when_it_is_run_again(
    world: World, consumer: Consumer
) -> None:
    names = ("one", "two", "three")
    group = '[group.nightly]\nmode = "SYNC"\ntasks = ["one", "two", "three"]\n'
    world.define("".join(task(consumer, name) for name in names) + group)
    bad = {"two"}
    consumer.says = lambda call: told(call, "RECON_FAILED" if call["task"] in bad else "COMPLETED")
    world.start("a")
    world.snk("trigger", "nightly")

    async def stopped() -> bool:
        runs = await world.runs()
        return bool(runs) and runs[0]["state"] == "RECON_FAILED"

    await until(stopped, "the group to end")
    assert [call["task"] for call in consumer.calls] == ["one", "two"]
    assert "run 4 belongs to run 1 of a group" in world.snk("why", "three").stdout
    bad.clear()
    assert world.snk("rerun", "1", "--reason", "mended").returncode == 0
    runs = await ended(world, 4)
    assert {run["state"] for run in runs} == {"COMPLETED"}
    assert [call["task"] for call in consumer.calls] == ["one", "two", "two", "three"]


@pytest.mark.long
async def test_a_group_side_by_side_calls_the_instances_with_the_fewest_runs(world: World, consumer: Consumer) -> None:
    async with serving(Consumer()) as other:
        gate = asyncio.Event()

        async def wait(call: dict[str, Any]) -> dict[str, Any]:
            await gate.wait()
            return told(call)

        consumer.says = other.says = wait
        names = [f"task{number}" for number in range(4)]
        both = json.dumps([consumer.url, other.url])
        tasks = "".join(f"[task.{name}]\nconsumers = {both}\ninterval_seconds = 0.2\n" for name in names)
        world.define(tasks + f'[group.all]\nmode = "ASYNC"\ntasks = {json.dumps(names)}\n')
        world.start("a")
        world.snk("trigger", "all")

        async def all_called() -> bool:
            return len(consumer.calls) + len(other.calls) == 4

        await until(all_called, "all four calls")
        gate.set()
        await ended(world, 5)
        assert {len(consumer.calls), len(other.calls)} == {2}


@pytest.mark.long
async def test_what_is_paused_is_not_called_and_says_so(world: World, consumer: Consumer) -> None:
    world.define(task(consumer))
    assert world.snk("pause", "prices", "--reason", "month end").returncode == 0
    world.snk("trigger", "prices")
    world.start("a")

    async def its_turn() -> bool:
        return any(run["active"] for run in await world.runs())

    await until(its_turn, "the run to be active")
    told_why = world.snk("why", "prices")
    assert "has paused it: month end" in told_why.stdout
    assert consumer.calls == []
    assert world.snk("resume", "prices").returncode == 0
    await ended(world, 1)


@pytest.mark.long
async def test_a_node_goes_on_when_its_database_was_away(world: World, consumer: Consumer) -> None:
    world.define(task(consumer))
    world.start("a")
    consumer.says = lambda call: told(call, "RUNNING")
    world.snk("trigger", "prices")
    await until_called(consumer, 2)
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'snk batch'"
    for _ in range(3):
        await world.database.rows(kill + " and datname = current_database()")
    called = len(consumer.calls)
    await until_called(consumer, called + 3)
    consumer.says = told
    (run,) = await ended(world, 1)
    assert run["state"] == "COMPLETED"
    world.nodes["a"].terminate()
    assert await asyncio.to_thread(world.nodes["a"].wait) == 0


async def until_called(consumer: Consumer, times: int) -> None:
    async def called() -> bool:
        return len(consumer.calls) >= times

    await until(called, f"{times} calls")


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("trigger", "nobody"), "there is no task or group 'nobody'"),
        (("trigger", "prices", "--payload", "[]"), "write a JSON object"),
        (("trigger", "prices", "--file", "x"), "'prices' has no file 'x'"),
        (("cancel", "77", "--reason", "x"), "there is no run 77"),
        (("show", "77"), "there is no run 77"),
        (("why", "nobody"), "there is no task or group 'nobody'"),
        (("pause", "nobody", "--reason", "x"), "there is no task or group 'nobody'"),
        (("apply", "/nowhere.toml"), "'/nowhere.toml' cannot be read"),
    ],
)
async def test_bad_input_is_told_and_changes_nothing(
    world: World, consumer: Consumer, words: tuple[str, ...], told: str
) -> None:
    world.define(task(consumer))
    done = world.snk(*words)
    assert (done.returncode, told in done.stderr) == (2, True), done.stdout + done.stderr
    assert await world.runs() == []
