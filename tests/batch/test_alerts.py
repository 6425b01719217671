"""Alerts are raised once and resolved once, and each channel is told of both."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from snk.batch.channels import Kind
from snk.batch.platform import absence, alerts, attention, operations, outbox, resolving, turns
from snk.batch.platform.alerts import Cause
from snk.batch.platform.calling import Caller
from snk.batch.platform.claims import claim
from snk.batch.platform.moves import Move, hold, move
from snk.batch.platform.nodes import leave
from snk.batch.platform.proofs import Proofs
from snk.batch.platform.rounds import Rounds
from snk.batch.platform.tables import ALERT, AUDIT, NODE, NOTICE, NOW, RUN, TASK
from snk.batch.platform.triggering import Trigger, trigger
from snk.batch.state import Event, Refused
from snk.db.functions import interval
from snk.db.pool import Pool
from snk.http.auth.credentials import AuthTable
from tests.batch.conftest import define
from tests.kit.batch import Consumer, serving, told
from tests.kit.databases import until

CHANNELS: dict[str, tuple[str, ...]] = {"log": (), "ops": (), "some": (Kind.FAILED,)}


@pytest.fixture
async def told_all(pool: Pool) -> Pool:
    """A database in which a node has noted its channels."""
    async with pool.begin() as connection:
        await outbox.announce(connection, CHANNELS)
    return pool


async def alerts_of(pool: Pool) -> list[Any]:
    async with pool.connection("statement") as connection:
        return list((await connection.execute(sa.select(ALERT).order_by(ALERT.c.id))).all())


async def notices_of(pool: Pool) -> list[tuple[int, str, str]]:
    columns = (NOTICE.c.alert, NOTICE.c.channel, NOTICE.c.event)
    async with pool.connection("statement") as connection:
        rows = await connection.execute(sa.select(*columns).order_by(*columns))
        return [(alert, channel, event) for alert, channel, event in rows]


async def run_of(pool: Pool, key: str = "1", task: str = "prices") -> int:
    """A run that is active."""
    async with pool.begin() as connection:
        made = await trigger(connection, Trigger(task, key, "test", "me", {}))
    async with pool.connection("statement") as connection:
        await turns.give(connection)
    assert made.run
    return made.run


async def happens(pool: Pool, run: int, event: Event, reason: str = "") -> None:
    async with pool.begin() as connection:
        held = await hold(connection, run)
        assert held
        await move(connection, held, Move(event, "test", reason))


async def rerun(pool: Pool, run: int) -> None:
    async with pool.begin() as connection:
        await operations.rerun(connection, run, "me", "mended")


UNREACHABLE = Cause(Kind.UNREACHABLE, "task prices", "3 calls failed", "prices", 1)


async def test_five_nodes_that_find_the_same_raise_one_alert_and_tell_each_channel_once(told_all: Pool) -> None:
    await define(told_all, prices={})

    async def find() -> None:
        async with told_all.begin() as connection:
            await alerts.found(connection, UNREACHABLE)

    await asyncio.gather(*(find() for _ in range(5)))
    (alert,) = await alerts_of(told_all)
    assert (alert.times, alert.resolved_at) == (5, None)
    assert await notices_of(told_all) == [(1, "log", "raised"), (1, "ops", "raised")]
    assert alert.seen_at > alert.raised_at


async def test_five_nodes_resolve_an_alert_once(told_all: Pool) -> None:
    await define(told_all, prices={})
    run = await run_of(told_all)
    await happens(told_all, run, Event.FAILED)
    await rerun(told_all, run)
    await happens(told_all, run, Event.COMPLETED)
    await asyncio.gather(*(resolving.sweep(told_all) for _ in range(5)))
    (alert,) = await alerts_of(told_all)
    assert alert.resolution == "run 1 of prices is COMPLETED"
    every = [(1, channel, event) for channel in ("log", "ops", "some") for event in ("raised", "resolved")]
    assert await notices_of(told_all) == every


async def test_an_alert_is_raised_with_what_it_is_about_or_not_at_all(told_all: Pool) -> None:
    await define(told_all, prices={})
    run = await run_of(told_all)
    async with told_all.connection("write") as connection:
        held = await hold(connection, run)
        assert held
        await move(connection, held, Move(Event.FAILED, "test"))
        assert (await connection.execute(sa.select(NOTICE.c.id))).all()
        await connection.rollback()
    assert (await alerts_of(told_all), await notices_of(told_all)) == ([], [])


@pytest.mark.parametrize("event", [Event.FAILED, Event.RECON_FAILED])
async def test_a_failure_stays_open_while_the_run_is_run_again(told_all: Pool, event: Event) -> None:
    await define(told_all, prices={})
    run = await run_of(told_all)
    await happens(told_all, run, event, "no such file")
    await resolving.sweep(told_all)
    await rerun(told_all, run)
    await resolving.sweep(told_all)
    (alert,) = await alerts_of(told_all)
    assert (alert.kind, alert.subject, alert.task, alert.run, alert.resolved_at) == (event, "run 1", "prices", 1, None)
    assert alert.text == f"run 1 of prices is {event.upper()}: no such file"


async def test_a_run_that_fails_again_is_heard_again(told_all: Pool) -> None:
    await define(told_all, prices={})
    run = await run_of(told_all)
    await happens(told_all, run, Event.FAILED)
    async with told_all.begin() as connection:
        await attention.acknowledge(connection, 1, "me", "I run it again")
    await rerun(told_all, run)
    await happens(told_all, run, Event.RECON_FAILED)
    first, second = await alerts_of(told_all)
    assert (first.kind, first.resolution) == (Kind.FAILED, "it was run again, and failed again")
    assert (second.kind, second.resolved_at, second.acknowledged_by) == (Kind.RECON_FAILED, None, None)
    async with told_all.begin() as connection:
        await operations.skip(connection, run, "me", "not today")
    await resolving.sweep(told_all)
    assert (await alerts_of(told_all))[1].resolution == "run 1 of prices is CANCELLED"


async def test_a_group_that_fails_is_told_by_the_run_that_did(told_all: Pool) -> None:
    await define(told_all, prices={}, nightly={"tasks": ["prices"]})
    group = await run_of(told_all, task="nightly")
    async with told_all.connection("statement") as connection:
        await turns.give(connection)
    await happens(told_all, group + 1, Event.FAILED)
    async with told_all.begin() as connection:
        assert await turns.tend(connection, group, "a") == "FAILED"
    assert [alert.subject for alert in await alerts_of(told_all)] == [f"run {group + 1}"]


async def test_an_overdue_run_raises_one_alert_which_its_end_resolves(told_all: Pool) -> None:
    await define(told_all, prices={"deadline_minutes": 5})
    run = await run_of(told_all)
    async with told_all.connection("statement") as connection:
        await connection.execute(sa.update(RUN).values(deadline_at=RUN.c.deadline_at - interval(301)))

    async def look() -> list[tuple[int, str]]:
        async with told_all.connection("statement") as connection:
            return await turns.overdue(connection)

    found = await asyncio.gather(*(look() for _ in range(5)))
    assert [each for each in found if each] == [[(run, "prices")]]
    await resolving.sweep(told_all)
    (alert,) = await alerts_of(told_all)
    assert (alert.kind, alert.resolved_at) == (Kind.OVERDUE, None)
    assert alert.text.startswith("run 1 of prices did not end before 20")
    await happens(told_all, run, Event.COMPLETED)
    await resolving.sweep(told_all)
    assert (await alerts_of(told_all))[0].resolution == "run 1 of prices is COMPLETED"
    assert (1, "ops", "resolved") in await notices_of(told_all)


@pytest.fixture
async def rounds(told_all: Pool) -> AsyncIterator[Rounds]:
    caller = Caller(Proofs({}, AuthTable()), "http://platform", 10)
    yield Rounds("a", told_all, caller, 3)
    await caller.close()


async def call(pool: Pool, rounds: Rounds) -> None:
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(RUN).where(RUN.c.active).values(due_at=NOW))
        (taken,) = await claim(connection, "a", 1, 60.0)
    await rounds.round(taken)


async def test_a_consumer_is_unreachable_from_the_third_call_on_until_one_works(told_all: Pool, rounds: Rounds) -> None:
    consumer = Consumer()
    async with serving(consumer):
        await define(told_all, prices={"consumers": [consumer.url], "most_tries": 6})
        await run_of(told_all)
        consumer.says = lambda _: 503
        for calls in range(1, 5):
            await call(told_all, rounds)
            await resolving.sweep(told_all)
            assert len(await alerts_of(told_all)) == (calls >= 3)
        (alert,) = await alerts_of(told_all)
        assert alert.subject == "task prices"
        assert alert.text == "prices: 4 calls in a row failed; the last one: it answers 503: no"
        assert (alert.times, alert.resolved_at) == (2, None)
        consumer.says = lambda given: told(given, "RUNNING")
        await call(told_all, rounds)
        await resolving.sweep(told_all)
        assert (await alerts_of(told_all))[0].resolution == "a call of the consumer of prices worked"
        consumer.says = lambda _: 503
        for _ in range(3):
            await call(told_all, rounds)
        assert [alert.resolved_at is None for alert in await alerts_of(told_all)] == [False, True]
    told_ops = [event for _, channel, event in await notices_of(told_all) if channel == "ops"]
    assert told_ops == ["raised", "resolved", "raised"]


async def test_a_later_run_that_works_resolves_unreachable_though_the_first_one_failed(
    told_all: Pool, rounds: Rounds
) -> None:
    consumer = Consumer(says=lambda _: 503)
    async with serving(consumer):
        await define(told_all, prices={"consumers": [consumer.url], "most_tries": 3})
        await run_of(told_all)
        for _ in range(3):
            await call(told_all, rounds)
        assert {alert.kind for alert in await alerts_of(told_all)} == {Kind.UNREACHABLE, Kind.FAILED}
        await resolving.sweep(told_all)
        assert not [alert for alert in await alerts_of(told_all) if alert.resolved_at]
        consumer.says = told
        await run_of(told_all, "2")
        await call(told_all, rounds)
        await resolving.sweep(told_all)
    assert {alert.kind for alert in await alerts_of(told_all) if alert.resolved_at} == {Kind.UNREACHABLE}


async def test_a_consumer_that_refuses_calls_is_not_called_unreachable(told_all: Pool, rounds: Rounds) -> None:
    consumer = Consumer(says=lambda _: 401)
    async with serving(consumer):
        await define(told_all, prices={"consumers": [consumer.url]})
        await run_of(told_all)
        for _ in range(3):
            await call(told_all, rounds)
        (alert,) = await alerts_of(told_all)
        assert (alert.kind, alert.subject) == (Kind.CALLS_FAILED, "task prices")
        assert alert.text == "prices: 3 calls in a row failed; the last one: it answers 401: no"
        consumer.says = told
        await call(told_all, rounds)
        await resolving.sweep(told_all)
    assert (await alerts_of(told_all))[0].resolution == "a call of the consumer of prices worked"


async def test_a_cause_that_is_found_again_while_it_is_resolved_is_not_lost(told_all: Pool) -> None:
    await define(told_all, prices={})
    await run_of(told_all)
    async with told_all.begin() as connection:
        await alerts.found(connection, UNREACHABLE)
        await connection.execute(sa.update(RUN).values(worked_at=NOW))
    async with told_all.begin() as connection:
        await alerts.found(connection, UNREACHABLE)
        await resolving.sweep(told_all)  # sees that a call worked, and not yet that others failed after it
    await resolving.sweep(told_all)
    assert [alert.resolved_at for alert in await alerts_of(told_all)] == [None]


async def arrive(pool: Pool, name: str) -> None:
    async with pool.begin() as connection:
        await absence.arrive(connection, name, "http://a", 2.0)


async def gone_for(pool: Pool, seconds: float) -> None:
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(NODE).values(seen_at=NODE.c.seen_at - interval(seconds)))


@pytest.mark.parametrize("kind", ["due run", "due tick", "nothing due", "short"])
async def test_a_node_that_starts_tells_that_none_was_there(told_all: Pool, kind: str) -> None:
    await define(told_all, prices={"cron": "0 0 1 1 *"})
    await arrive(told_all, "a")
    async with told_all.connection("statement") as connection:
        await leave(connection, "a")
    await gone_for(told_all, 5 if kind == "short" else 600)
    if kind == "due tick":
        async with told_all.connection("statement") as connection:
            await connection.execute(sa.update(TASK).values(next_tick=NOW - interval(60)))
    elif kind != "nothing due":
        await run_of(told_all)
    await asyncio.gather(*(arrive(told_all, name) for name in "bcd"))
    await asyncio.gather(*(resolving.sweep(told_all) for _ in range(3)))
    found = await alerts_of(told_all)
    assert len(found) == kind.startswith("due")
    if found:
        assert found[0].text.startswith("no node of the platform was there from 20")
        assert (found[0].times, found[0].resolution) == (1, "a node is alive")


async def test_of_two_nodes_that_start_together_one_tells(told_all: Pool) -> None:
    await define(told_all, prices={})
    await arrive(told_all, "a")
    await gone_for(told_all, 600)
    await run_of(told_all)

    async def waits() -> bool:
        query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        async with told_all.connection("statement") as connection:
            return bool((await connection.exec_driver_sql(query)).scalar_one())

    async with told_all.begin() as connection:
        await absence.arrive(connection, "b", "http://b", 2.0)
        other = asyncio.create_task(arrive(told_all, "c"))
        await until(waits, "the other node to wait")
    await other
    assert [alert.times for alert in await alerts_of(told_all)] == [1]


async def test_the_check_raises_no_node_and_the_next_node_resolves_it(told_all: Pool) -> None:
    for _ in range(2):
        async with told_all.begin() as connection:
            assert await absence.check(connection) == 0
    await resolving.sweep(told_all)
    assert [alert.resolved_at for alert in await alerts_of(told_all)] == [None]
    await arrive(told_all, "a")
    await resolving.sweep(told_all)
    async with told_all.begin() as connection:
        assert await absence.check(connection) == 1
    assert [alert.resolution for alert in await alerts_of(told_all)] == ["a node is alive"]
    assert [event for _, channel, event in await notices_of(told_all) if channel == "ops"] == ["raised", "resolved"]


async def test_who_acknowledges_is_in_the_audit_and_the_alert_stays_open(told_all: Pool) -> None:
    await define(told_all, prices={})
    run = await run_of(told_all)
    await happens(told_all, run, Event.FAILED)
    async with told_all.begin() as connection:
        await attention.acknowledge(connection, 1, "ann", "I look")
    async with told_all.connection("snapshot") as connection:
        (shown,) = await attention.listed(connection)
        subject = (await connection.execute(sa.select(AUDIT).where(AUDIT.c.what == "acknowledged"))).one()
    assert (shown["acknowledged_by"], shown["note"], shown["resolved_at"]) == ("ann", "I look", None)
    assert (subject.who, subject.subject, subject.reason) == ("ann", "alert 1", "I look")
    await rerun(told_all, run)
    await happens(told_all, run, Event.COMPLETED)
    await resolving.sweep(told_all)
    with pytest.raises(Refused, match="alert 1 is resolved"):
        async with told_all.begin() as connection:
            await attention.acknowledge(connection, 1, "bob", "late")
    assert (await alerts_of(told_all))[0].acknowledged_by == "ann"
