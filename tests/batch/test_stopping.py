"""Consumers whose runs the platform has ended are told so, once each, whatever becomes of nodes and consumers."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from snk.batch.platform import looking, operations, stops
from snk.batch.platform.calling import Caller
from snk.batch.platform.claims import Claim, claim
from snk.batch.platform.judging import Report
from snk.batch.platform.noting import Called, note_calls
from snk.batch.platform.proofs import Proofs
from snk.batch.platform.reporting import take
from snk.batch.platform.rounds import Rounds
from snk.batch.platform.stopping import Stopping
from snk.batch.platform.tables import FILE, NOW, RUN, STOP
from snk.batch.platform.telling import instance, outcome, wait_seconds
from snk.batch.state import State
from snk.db.functions import interval
from snk.db.pool import Pool
from snk.http.auth.credentials import AuthTable
from tests.batch.conftest import define
from tests.batch.test_alerts import call, rounds, run_of, told_all
from tests.batch.test_newer import select
from tests.batch.test_overlap import give, triggered
from tests.kit.batch import Consumer, World, serving, told
from tests.kit.databases import until

__all__ = ["rounds", "told_all"]
AUTH = AuthTable.model_validate({"bearer": "of-the-platform"})


@pytest.fixture
async def consumer() -> AsyncIterator[Consumer]:
    """One that works for ever."""
    async with serving(Consumer(says=lambda given: told(given, "RUNNING"))) as made:
        yield made


@pytest.fixture
async def nodes(told_all: Pool) -> AsyncIterator[list[Stopping]]:
    """What two nodes tell."""
    caller = Caller(Proofs({}, AUTH), "http://platform", 10)
    yield [Stopping(told_all, caller) for _ in range(2)]
    await caller.close()


async def tell(*nodes: Stopping) -> None:
    """Each node takes what is due, at the same time as the others, and tells it."""
    taken = await asyncio.gather(*(node.take() for node in nodes))
    telling = [node.tell(each) for node, found in zip(nodes, taken, strict=True) for each in found]
    await asyncio.gather(*telling)


async def do(pool: Pool, operation: Any, run: int) -> None:
    async with pool.begin() as connection:
        await operation(connection, run, "me", "because")


async def shown(pool: Pool, run: int) -> Any:
    async with pool.connection("snapshot") as connection:
        return await looking.one(connection, run)


async def due_now(pool: Pool) -> None:
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(STOP).values(due_at=NOW))


async def claimed(pool: Pool) -> Claim:
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(RUN).where(RUN.c.active).values(due_at=NOW))
        (taken,) = await claim(connection, "a", 1, 60.0)
    return taken


async def noted(pool: Pool, taken: Claim, consumer: str, report: Report | None = None, failed: str = "") -> None:
    async with pool.begin() as connection:
        await note_calls(connection, [Called(taken, "a", consumer, "it is so", 1.0, 0.1, report, failed)])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, "stopped") for status in (200, 202, 204)],
        *[(status, "refused") for status in (400, 404, 405, 409, 422, 501)],
        *[(status, "again") for status in (0, 307, 401, 403, 408, 429, 500, 502, 503)],
    ],
)
def test_what_an_answer_comes_to(status: int, expected: str) -> None:
    assert outcome(status) == expected


def test_the_instance_that_works_is_told_first_and_then_the_others_in_turn() -> None:
    assert [instance("b", ["a", "b", "c"], tries) for tries in range(4)] == ["b", "a", "c", "b"]
    assert [instance(None, ["a", "b"], tries) for tries in range(3)] == ["a", "b", "a"]
    assert [instance("gone", ["a"], tries) for tries in range(3)] == ["gone", "a", "gone"]
    assert [wait_seconds(each) for each in (0.1, 30, 86_400)] == [0.1, 30, 60]


async def cancelled(pool: Pool, rounds: Rounds, consumer: Consumer) -> int:
    """A run that is cancelled after its first call."""
    await define(pool, prices={"consumers": [consumer.url]})
    run = await run_of(pool)
    await call(pool, rounds)
    await do(pool, operations.cancel, run)
    return run


async def test_two_nodes_tell_a_consumer_once_by_its_credentials(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    await define(told_all, prices={"consumers": [consumer.url], "files": {"a": {}}})
    run = await run_of(told_all)
    await call(told_all, rounds)
    await do(told_all, operations.cancel, run)
    await tell(*nodes)
    await tell(*nodes)
    ((uid, fence),) = await select(told_all, RUN.c.uid, RUN.c.fence)
    assert consumer.stops == [(str(uid), fence)]
    assert consumer.authorizations[-1] == "Bearer of-the-platform"
    stop = (await shown(told_all, run))["stop"]
    assert (stop["consumer"], stop["tries"], stop["gave_up_at"]) == (consumer.url, 1, None)
    assert stop["told_at"]


async def test_what_was_never_called_or_has_said_itself_that_it_ended_is_not_told(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    await define(told_all, prices={"consumers": [consumer.url]})
    await do(told_all, operations.cancel, await run_of(told_all, "1"))
    consumer.says = lambda given: told(given, "FAILED")
    run = await run_of(told_all, "2")
    await call(told_all, rounds)
    await do(told_all, operations.skip, run)
    run = await run_of(told_all, "3")
    await call(told_all, rounds)
    await do(told_all, operations.rerun, run)
    await do(told_all, operations.cancel, run)  # before it is called again
    assert [row.state for row in await select(told_all, RUN.c.state)] == ["CANCELLED"] * 3
    await tell(*nodes)
    assert consumer.stops == []
    assert await select(told_all, STOP.c.run) == []
    assert (await shown(told_all, run))["stop"] is None


async def test_the_consumers_of_all_tasks_of_a_group_are_told(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    await define(told_all, one={"consumers": [consumer.url]}, two={"consumers": [consumer.url]}, three={})
    await define(told_all, chain={"tasks": ["one", "two", "three"], "mode": "ASYNC"})
    group = (await triggered(told_all, "chain", "1")).run
    await give(told_all)
    assert group
    async with told_all.connection("statement") as connection:
        taken = [each for each in await claim(connection, "a", 9, 60.0) if each.task != "three"]
    await asyncio.gather(*(rounds.round(each) for each in taken))
    async with told_all.connection("statement") as connection:
        await connection.execute(sa.update(RUN).where(RUN.c.task == "three").values(fence=0, node=None))
    await do(told_all, operations.cancel, group)
    await tell(*nodes)
    assert sorted(consumer.stops) == sorted((str(each.uid), 1) for each in taken)


async def test_a_run_that_a_newer_trigger_ends_is_told(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    await define(told_all, prices={"consumers": [consumer.url], "overlap": "cancel"})
    run = await run_of(told_all)
    await call(told_all, rounds)
    await triggered(told_all, "prices", "2")
    await tell(*nodes)
    assert await select(told_all, STOP.c.run) == [(run,)]
    assert len(consumer.stops) == 1


async def test_a_run_that_is_given_up_after_too_many_calls_is_told(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    await define(told_all, prices={"consumers": [consumer.url], "most_tries": 2})
    run = await run_of(told_all)
    consumer.says = lambda _: 503
    await call(told_all, rounds)
    await tell(*nodes)
    assert consumer.stops == []
    await call(told_all, rounds)
    assert (await shown(told_all, run))["state"] == "FAILED"
    await tell(*nodes)
    assert len(consumer.stops) == 1


async def test_a_run_that_waits_and_whose_calls_failed_is_told_when_it_is_skipped(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    await define(told_all, prices={"consumers": [consumer.url]})
    run = await run_of(told_all)
    consumer.says = lambda _: 503  # it may have begun the run all the same
    await call(told_all, rounds)
    await do(told_all, operations.skip, run)
    await tell(*nodes)
    assert len(consumer.stops) == 1


async def test_a_consumer_is_told_after_the_first_call_which_was_under_way(
    told_all: Pool, nodes: list[Stopping], consumer: Consumer
) -> None:
    """Told before, it would not know the run, and begin it afterwards."""
    await define(told_all, prices={"consumers": ["http://127.0.0.1:9/", consumer.url], "timeout_seconds": 600})
    run = await run_of(told_all)
    taken = await claimed(told_all)
    await do(told_all, operations.cancel, run)
    await tell(*nodes)
    assert consumer.stops == []
    wait = sa.select(sa.extract("epoch", STOP.c.due_at - STOP.c.created_at))
    async with told_all.connection("statement") as connection:
        assert float((await connection.execute(wait)).scalar_one()) == pytest.approx(600, abs=1)
    await noted(told_all, taken, consumer.url, Report(taken.fence, State.RUNNING, consumer.url))
    await tell(*nodes)
    assert len(consumer.stops) == 1


async def test_a_call_that_comes_after_its_run_was_stopped_has_that_told_again(
    told_all: Pool, nodes: list[Stopping], consumer: Consumer
) -> None:
    """A node that was asleep before it made the call."""
    await define(told_all, prices={"consumers": [consumer.url]})
    run = await run_of(told_all)
    taken = await claimed(told_all)
    await do(told_all, operations.cancel, run)
    await due_now(told_all)
    consumer.stop_says = 404
    await tell(*nodes)
    assert len(consumer.stops) == 1
    consumer.stop_says = 200
    for state, stopped in ((State.RUNNING, 2), (State.COMPLETED, 2)):
        await noted(told_all, taken, consumer.url, Report(taken.fence, state, consumer.url))
        await tell(*nodes)
        assert len(consumer.stops) == stopped


@pytest.mark.parametrize("status", [404, 405, 409, 501])
async def test_a_consumer_that_cannot_be_told_is_not_told_again_and_that_is_shown(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer, status: int
) -> None:
    run = await cancelled(told_all, rounds, consumer)
    consumer.stop_says = status
    await tell(*nodes)
    await due_now(told_all)
    await tell(*nodes)
    assert len(consumer.stops) == 1
    stop = (await shown(told_all, run))["stop"]
    assert (stop["reason"], stop["told_at"]) == (f"{consumer.url}: it answers {status}: so it is", None)
    assert stop["gave_up_at"]


async def test_a_consumer_that_does_not_answer_is_told_again_also_at_another_instance_for_a_day(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    async with serving(Consumer(says=lambda _: 503)) as other:
        await define(told_all, prices={"consumers": [consumer.url], "interval_seconds": 3600})
        run = await run_of(told_all)
        await call(told_all, rounds)
        await do(told_all, operations.cancel, run)
        await define(told_all, prices={"consumers": [other.url, consumer.url], "interval_seconds": 3600})
        consumer.stop_says = other.stop_says = 503
        await tell(*nodes)
        wait = sa.select(sa.extract("epoch", STOP.c.due_at - NOW))
        async with told_all.connection("statement") as connection:
            assert 50 < float((await connection.execute(wait)).scalar_one()) <= 60
        await tell(*nodes)
        assert (len(consumer.stops), len(other.stops)) == (1, 0)
        await due_now(told_all)
        await tell(*nodes)
        assert (len(consumer.stops), len(other.stops)) == (1, 1)
        async with told_all.connection("statement") as connection:
            await connection.execute(sa.update(STOP).values(due_at=NOW, created_at=NOW - interval(86_401)))
        await tell(*nodes)
        await due_now(told_all)
        await tell(*nodes)
        assert (len(consumer.stops), len(other.stops)) == (2, 1)
    stop = (await shown(told_all, run))["stop"]
    assert (stop["reason"], stop["tries"]) == (f"{consumer.url}: it answers 503: so it is", 3)
    assert stop["gave_up_at"]


async def test_the_end_of_a_turn_is_told_by_the_fence_of_that_turn_and_shown_for_no_other(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    await define(told_all, prices={"consumers": [consumer.url], "most_tries": 1})
    run = await run_of(told_all)
    consumer.says = lambda _: 503
    await call(told_all, rounds)
    await do(told_all, operations.rerun, run)
    async with told_all.connection("statement") as connection:
        await connection.execute(sa.update(RUN).values(active=True))
    consumer.says = lambda given: told(given, "RUNNING")
    await call(told_all, rounds)
    consumer.stop_says = 409
    await tell(*nodes)
    assert [fence for _, fence in consumer.stops] == [1]
    assert (await shown(told_all, run))["stop"] is None
    async with told_all.begin() as connection:
        await take(connection, run, Report(2, State.FAILED, "it"))
    assert (await shown(told_all, run))["stop"] is None
    async with told_all.connection("statement") as connection:
        await connection.execute(sa.update(RUN).values(state="RUNNING", ended_at=None, active=True))
    consumer.stop_says = 200
    await do(told_all, operations.cancel, run)
    await tell(*nodes)
    assert [fence for _, fence in consumer.stops] == [1, 2]
    assert (await shown(told_all, run))["stop"]["told_at"]


async def test_what_a_node_took_before_it_died_another_one_tells(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    run = await cancelled(told_all, rounds, consumer)
    dead, alive = nodes
    (taken,) = await dead.take()
    await tell(alive)
    assert consumer.stops == []
    await due_now(told_all)  # its lease ends
    consumer.stop_says = 503
    await tell(alive)
    async with told_all.connection("statement") as connection:
        await stops.refused(connection, taken, "it was asleep, and changes nothing")
    consumer.stop_says = 200
    await due_now(told_all)
    await tell(alive)
    assert len(consumer.stops) == 2
    assert (await shown(told_all, run))["stop"]["told_at"]


async def test_without_its_task_a_consumer_is_not_told_yet(
    told_all: Pool, rounds: Rounds, nodes: list[Stopping], consumer: Consumer
) -> None:
    run = await cancelled(told_all, rounds, consumer)
    async with told_all.connection("statement") as connection:
        await connection.exec_driver_sql("delete from snk_batch.task")
    await tell(*nodes)
    assert (await shown(told_all, run))["stop"]["reason"] == "its task is not defined any more"
    assert consumer.stops == []


async def test_files_that_did_not_end_are_shown_as_cancelled_with_their_run(told_all: Pool) -> None:
    await define(told_all, prices={})
    run = await run_of(told_all)
    states = {"a": "WAITING", "b": "RUNNING", "c": "COMPLETED", "d": "FAILED"}
    async with told_all.begin() as connection:
        await connection.execute(
            sa.insert(FILE), [{"run": run, "name": each, "state": states[each]} for each in states]
        )
    assert {each["name"]: each["state"] for each in (await shown(told_all, run))["files"]} == states
    await do(told_all, operations.cancel, run)
    states |= dict.fromkeys("ab", "CANCELLED")
    assert {each["name"]: each["state"] for each in (await shown(told_all, run))["files"]} == states


@pytest.mark.long
async def test_people_see_whether_a_consumer_knows(world: World, consumer: Consumer) -> None:
    world.define(f'[task.prices]\nconsumers = ["{consumer.url}"]\ninterval_seconds = 0.2\n')
    world.start("a")
    run = json.loads((await asyncio.to_thread(world.snk, "trigger", "prices", "--json")).stdout)["run"]

    async def works() -> bool:
        return (await world.runs())[0]["state"] == "RUNNING"

    await until(works, "the run to be under way")
    consumer.stop_says = 503
    await asyncio.to_thread(world.snk, "cancel", str(run), "--reason", "wrong day")

    async def show(words: str) -> None:
        async def seen() -> bool:
            return words in (await asyncio.to_thread(world.snk, "show", str(run))).stdout

        await until(seen, f"it to be shown: {words}")

    words = "its consumer does not know yet that it has ended"
    await show(f"{words}: {consumer.url}: it answers 503: so it is; it is told then")
    consumer.stop_says = 200
    await show("its consumer has stopped it")
    assert "consumer_stopped" in world.log("a")
    told_before = len(consumer.stops)
    consumer.stop_says = 405
    run = json.loads((await asyncio.to_thread(world.snk, "trigger", "prices", "--json")).stdout)["run"]

    async def works_again() -> bool:
        return (await world.runs())[1]["state"] == "RUNNING"

    await until(works_again, "the other run to be under way")
    await asyncio.to_thread(world.snk, "cancel", str(run), "--reason", "wrong day")
    await show(f"its consumer could not be told that it has ended: {consumer.url}: it answers 405: so it is")
    assert len(consumer.stops) == told_before + 1
