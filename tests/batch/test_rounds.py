"""One call of a consumer: which instance it goes to, what an answer of another time means, and that it is noted."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from snk.batch.channels import Kind
from snk.batch.platform import noting, operations
from snk.batch.platform.claims import Claim, claim
from snk.batch.platform.moves import Move, hold, move
from snk.batch.platform.noting import Called, Notes
from snk.batch.platform.rounds import MOST_CHOOSING, Rounds
from snk.batch.platform.tables import ATTEMPT, NOW, RUN
from snk.batch.state import Event
from snk.db.locks import key_of
from snk.db.pool import Pool
from tests.batch.conftest import define
from tests.batch.test_alerts import alerts_of, call, rounds, run_of, told_all
from tests.batch.test_newer import select
from tests.kit.batch import Consumer, serving, told
from tests.kit.databases import until

__all__ = ["rounds", "told_all"]


async def test_an_answer_of_a_fence_before_the_run_is_a_call_that_failed(told_all: Pool, rounds: Rounds) -> None:
    """A consumer that tells an old fence for ever would otherwise be called for ever, and nobody would hear of it."""
    consumer = Consumer(says=lambda _: told({"fence": 0}, "COMPLETED"))
    async with serving(consumer):
        await define(told_all, prices={"consumers": [consumer.url], "most_tries": 4})
        await run_of(told_all)
        for tries in range(1, 4):
            await call(told_all, rounds)
            columns = (RUN.c.state, RUN.c.tries, RUN.c.worked_at)
            assert await select(told_all, *columns) == [("WAITING", tries, None)]
        assert [alert.kind for alert in await alerts_of(told_all)] == [Kind.CALLS_FAILED]
        await call(told_all, rounds)
    words = "its answer is of fence 0, before this run began"
    assert {row.outcome for row in await select(told_all, ATTEMPT.c.outcome)} == {words}
    ((state, reason),) = await select(told_all, RUN.c.state, RUN.c.reason)
    assert (state, reason) == ("FAILED", f"4 calls in a row failed; the last one: {words}")


async def test_an_answer_from_before_a_rerun_is_one_too(told_all: Pool, rounds: Rounds) -> None:
    consumer = Consumer(says=lambda _: told({"fence": 1}, "COMPLETED"))
    async with serving(consumer):
        await define(told_all, prices={"consumers": [consumer.url]})
        run = await run_of(told_all)
        await call(told_all, rounds)
        async with told_all.begin() as connection:
            await connection.execute(sa.update(RUN).values(state="FAILED"))
            await operations.rerun(connection, run, "me", "once more")
            await connection.execute(sa.update(RUN).values(active=True))
        await call(told_all, rounds)
    assert await select(told_all, RUN.c.state, RUN.c.tries) == [("WAITING", 1)]


async def test_a_fence_that_is_behind_after_a_backup_came_back_leaps_ahead(told_all: Pool, rounds: Rounds) -> None:
    seen = 5000

    def says(given: dict[str, Any]) -> Any:
        return told(given) if given["fence"] >= seen else 409

    async with serving(Consumer(says)) as consumer:
        await define(told_all, prices={"consumers": [consumer.url], "most_tries": 2})
        await run_of(told_all)
        await call(told_all, rounds)
        assert await select(told_all, RUN.c.fence, RUN.c.tries) == [(1 + noting.LEAP, 1)]
        await call(told_all, rounds)
    assert await select(told_all, RUN.c.state, RUN.c.fence) == [("COMPLETED", 2 + noting.LEAP)]


async def test_a_refused_fence_of_a_run_that_another_node_has_taken_changes_nothing(
    told_all: Pool, rounds: Rounds
) -> None:
    async def says(_: dict[str, Any]) -> int:
        async with told_all.connection("statement") as connection:
            await connection.execute(sa.update(RUN).values(fence=2, node="b"))
        return 409

    async with serving(Consumer(says)) as consumer:
        await define(told_all, prices={"consumers": [consumer.url]})
        await run_of(told_all)
        await call(told_all, rounds)
    assert await select(told_all, RUN.c.fence, RUN.c.node, RUN.c.tries) == [(2, "b", 0)]


async def taken_by(pool: Pool, node: str, most: int = 100) -> list[Claim]:
    async with pool.connection("statement") as connection:
        return await claim(connection, node, most, 60.0)


@pytest.mark.parametrize("error", [ValueError("unexpected"), MemoryError()])
async def test_any_error_while_a_call_is_noted_reaches_its_waiter_and_the_other_calls_are_noted(
    told_all: Pool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await define(told_all, one={}, two={})
    for name in ("one", "two"):
        await run_of(told_all, task=name)
    taken = await taken_by(told_all, "a")
    honest = noting.note_calls

    async def fails(connection: Any, called: list[Called]) -> list[bool]:
        if any(each.claim.task == "one" for each in called):
            raise error
        return await honest(connection, called)

    monkeypatch.setattr(noting, "note_calls", fails)
    notes = Notes(told_all)
    waiting = [notes.note(Called(each, "a", "http://one", "no", 1.0, 0.1)) for each in taken]
    async with asyncio.timeout(30):
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {each.task: what for each, what in zip(taken, found, strict=True)} == {"one": error, "two": True}


async def test_calls_of_other_consumers_do_not_wait_for_an_instance_to_be_chosen(
    told_all: Pool, rounds: Rounds
) -> None:
    async with serving(Consumer()) as first, serving(Consumer()) as second:
        await define(told_all, held={"consumers": [first.url, second.url]})
        await define(told_all, free={"consumers": [first.url, "http://127.0.0.1:9/"]})
        for name in ("held", "free"):
            await run_of(told_all, task=name)
        taken = {each.task: each for each in await taken_by(told_all, "a")}

        async def waits() -> bool:
            query = "select count(*) from pg_stat_activity where datname = current_database()"
            async with told_all.connection("statement") as connection:
                found = await connection.exec_driver_sql(f"{query} and wait_event_type = 'Lock'")
                return bool(found.scalar_one())

        async with told_all.begin() as connection:
            await connection.execute(sa.select(RUN.c.id).where(RUN.c.task == "held").with_for_update())
            waiting = asyncio.create_task(rounds.round(taken["held"]))  # an instance is chosen, and cannot be noted
            await until(waits, "the choice to wait")
            await rounds.round(taken["free"])
            assert not waiting.done()
        await waiting
    assert sorted(row.calls for row in await select(told_all, RUN.c.calls)) == [1, 1]


async def test_few_connections_wait_for_an_instance_to_be_chosen(told_all: Pool, rounds: Rounds) -> None:
    async with serving(Consumer()) as consumer:
        both = [consumer.url, "http://127.0.0.1:9/"]
        tasks: dict[str, dict[str, object]] = {f"task{number}": {"consumers": both} for number in range(8)}
        await define(told_all, **tasks)
        for name in tasks:
            await run_of(told_all, task=name)
        taken = await taken_by(told_all, "a")
        async with told_all.begin() as connection:
            key = key_of(f"snk batch instance {' '.join(sorted(both))}")
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
            waiting = [asyncio.create_task(rounds.round(each)) for each in taken]

            async def some_wait() -> bool:
                return told_all.in_use > MOST_CHOOSING

            await until(some_wait, "calls to wait")
            await asyncio.sleep(0.1)
            assert told_all.in_use == 1 + MOST_CHOOSING
        await asyncio.gather(*waiting)


async def test_a_run_that_is_run_again_the_day_after_has_its_deadline_before_it(told_all: Pool) -> None:
    await define(told_all, prices={"deadline_minutes": 5})
    run = await run_of(told_all)
    async with told_all.begin() as connection:
        await connection.execute(sa.update(RUN).values(deadline_at=NOW))
        held = await hold(connection, run)
        assert held
        await move(connection, held, Move(Event.FAILED, "test"))
        await operations.rerun(connection, run, "me", "mended")
    assert await select(told_all, RUN.c.deadline_at) == [(None,)]
