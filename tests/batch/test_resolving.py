"""When `unreachable` is over, and what counts as due while no node is there."""

import pytest
import sqlalchemy as sa

from snk.batch.channels import Kind
from snk.batch.platform import operations, pausing, resolving, turns
from snk.batch.platform.nodes import leave
from snk.batch.platform.rounds import Rounds
from snk.batch.platform.tables import NOW, RUN, TASK
from snk.batch.platform.triggering import Trigger, trigger
from snk.batch.state import Event
from snk.db.functions import interval
from snk.db.pool import Pool
from tests.batch.conftest import define
from tests.batch.test_alerts import alerts_of, arrive, call, gone_for, happens, rounds, run_of, told_all
from tests.kit.batch import Consumer, serving, told

__all__ = ["rounds", "told_all"]


async def test_an_older_run_that_is_run_again_resolves_unreachable(told_all: Pool, rounds: Rounds) -> None:
    consumer = Consumer(says=lambda given: told(given, "FAILED"))
    async with serving(consumer):
        await define(told_all, prices={"consumers": [consumer.url], "most_tries": 3})
        older = await run_of(told_all)
        await call(told_all, rounds)
        consumer.says = lambda _: 503
        await run_of(told_all, "2")
        for _ in range(3):
            await call(told_all, rounds)
        await resolving.sweep(told_all)
        assert Kind.UNREACHABLE in {alert.kind for alert in await alerts_of(told_all) if not alert.resolved_at}
        consumer.says = told
        async with told_all.begin() as connection:
            await operations.rerun(connection, older, "me", "mended")
        async with told_all.connection("statement") as connection:
            assert await turns.give(connection) == 1
        await call(told_all, rounds)  # it works, and the run is over at once
    await resolving.sweep(told_all)
    (resolution,) = [alert.resolution for alert in await alerts_of(told_all) if alert.kind == Kind.UNREACHABLE]
    assert resolution == "a call of the consumer of prices worked"


async def test_the_removal_of_a_task_resolves_unreachable_and_says_so(told_all: Pool, rounds: Rounds) -> None:
    async with serving(Consumer(says=lambda _: 503)) as consumer:
        await define(told_all, prices={"consumers": [consumer.url], "most_tries": 3})
        await run_of(told_all)
        for _ in range(3):
            await call(told_all, rounds)
    async with told_all.begin() as connection:
        await connection.execute(sa.delete(TASK))
    await resolving.sweep(told_all)
    (resolution,) = [alert.resolution for alert in await alerts_of(told_all) if alert.kind == Kind.UNREACHABLE]
    assert resolution == "there is no task prices any more"


@pytest.mark.parametrize("kind", ["stopped group", "paused task", "paused group", "queued", "due", "in turn"])
async def test_only_what_would_be_called_counts_as_due_while_no_node_is_there(told_all: Pool, kind: str) -> None:
    await define(told_all, one={}, two={}, both={"tasks": ["one", "two"], "mode": "SYNC"})
    await arrive(told_all, "a")
    run = await run_of(told_all, task="both" if "group" in kind else "one")
    async with told_all.connection("statement") as connection:
        await turns.give(connection)
        await leave(connection, "a")
    if kind == "stopped group":
        await happens(told_all, run + 1, Event.FAILED)
    async with told_all.begin() as connection:
        if kind == "stopped group":
            assert await turns.tend(connection, run, "a") == "FAILED"
        elif kind.startswith("paused"):
            await pausing.pause(connection, "both" if kind == "paused group" else "one", "me", "month end")
        elif kind == "queued":  # behind a run that waits for its interval
            await trigger(connection, Trigger("one", "2", "test", "me", {"other": True}))
            await connection.execute(sa.update(RUN).where(RUN.c.active).values(due_at=NOW + interval(3600)))
        elif kind == "in turn":
            await connection.execute(sa.update(RUN).values(active=False, due_at=None))
    await gone_for(told_all, 600)
    await arrive(told_all, "b")
    found = [alert for alert in await alerts_of(told_all) if alert.kind == Kind.NO_NODE]
    assert len(found) == (kind in ("due", "in turn"))
