"""What a node does at each look, and how it leaves: nothing that fails or is locked keeps back what is beside it."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from snk.batch.platform import node as nodes
from snk.batch.platform import resolving, turns
from snk.batch.platform.claims import Claim, claim, release, renew
from snk.batch.platform.node import Node, Pace
from snk.batch.platform.nodes import say
from snk.batch.platform.rounds import Rounds
from snk.batch.platform.tables import NODE, NOW, RUN, TASK
from snk.db.functions import interval
from snk.db.pool import Pool
from snk.errors import Unavailable
from tests.batch.conftest import define
from tests.batch.test_alerts import arrive, rounds, run_of, told_all
from tests.batch.test_newer import select
from tests.batch.test_rounds import taken_by

__all__ = ["rounds", "told_all"]


@pytest.fixture
async def node(made: str, told_all: Pool, rounds: Rounds) -> Any:
    renewals = Pool(made, 1, 30.0, "tests")
    yield Node("http://a", told_all, renewals, rounds, Pace(lease_seconds=60.0))
    await renewals.close()


async def children(pool: Pool, **states: str) -> None:
    """Have the tasks of a group be in these states."""
    async with pool.connection("statement") as connection:
        for task, state in states.items():
            over = state not in ("WAITING", "RUNNING")
            values: dict[str, object] = {"state": state, **({"ended_at": NOW, "active": False} if over else {})}
            await connection.execute(sa.update(RUN).where(RUN.c.task == task).values(values))


@pytest.mark.parametrize(
    ("mode", "state", "one", "two", "tended"),
    [
        ("SYNC", "WAITING", "WAITING", "WAITING", False),
        ("SYNC", "WAITING", "RUNNING", "WAITING", True),
        ("SYNC", "RUNNING", "RUNNING", "WAITING", False),
        ("SYNC", "RUNNING", "COMPLETED", "WAITING", False),
        ("SYNC", "RUNNING", "FAILED", "WAITING", True),
        ("SYNC", "RUNNING", "CANCELLED", "WAITING", True),
        ("SYNC", "RUNNING", "COMPLETED", "COMPLETED", True),
        ("ASYNC", "WAITING", "WAITING", "WAITING", False),
        ("ASYNC", "WAITING", "COMPLETED", "WAITING", True),
        ("ASYNC", "RUNNING", "FAILED", "RUNNING", False),
        ("ASYNC", "RUNNING", "FAILED", "CANCELLED", True),
    ],
)
async def test_only_groups_that_change_are_tended(
    pool: Pool, mode: str, state: str, one: str, two: str, *, tended: bool
) -> None:
    await define(pool, one={}, two={}, both={"tasks": ["one", "two"], "mode": mode})
    group = await run_of(pool, task="both")
    await children(pool, both=state, one=one, two=two)
    async with pool.connection("statement") as connection:
        assert await turns.groups(connection) == ([group] if tended else [])
    async with pool.begin() as connection:
        assert (await turns.tend(connection, group, "a") is not None) is tended
    async with pool.connection("statement") as connection:
        assert await turns.groups(connection) == [], "it changes once"


async def test_what_fails_in_a_look_keeps_nothing_else_back(
    told_all: Pool, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await define(told_all, one={}, two={}, bad={"tasks": ["one"]}, good={"tasks": ["two"]}, daily={"cron": "* * * * *"})
    for group in ("bad", "good"):
        await run_of(told_all, task=group)
    await children(told_all, one="RUNNING", two="RUNNING")
    async with told_all.connection("statement") as connection:
        late = sa.func.date_trunc("minute", NOW - interval(600))
        await connection.execute(sa.update(TASK).where(TASK.c.name == "daily").values(next_tick=late))
    honest = turns.tend

    async def fails(connection: Any, run: int, who: str) -> Any:
        if run == 1:
            raise ValueError("unexpected")
        return await honest(connection, run, who)

    async def no_sweep(_: Pool) -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(turns, "tend", fails)
    monkeypatch.setattr(resolving, "sweep", no_sweep)
    await node._turns()
    found = {row.task: row.state for row in await select(told_all, RUN.c.task, RUN.c.state)}
    assert (found["bad"], found["good"], found["daily"]) == ("WAITING", "RUNNING", "WAITING")


async def two_runs(pool: Pool) -> list[Claim]:
    """Two runs that a node holds."""
    await define(pool, one={}, two={})
    for name in ("one", "two"):
        await run_of(pool, task=name)
    return sorted(await taken_by(pool, "a"), key=lambda each: each.task)


async def test_a_row_that_is_locked_keeps_no_other_run_from_being_given_back_or_held(pool: Pool) -> None:
    locked, other = await two_runs(pool)
    fences = {each.run: each.fence for each in (locked, other)}
    async with pool.begin() as connection:
        await connection.execute(sa.select(RUN.c.id).where(RUN.c.id == locked.run).with_for_update())
        async with pool.connection("statement") as another:
            await another.exec_driver_sql("set lock_timeout = '100ms'")
            assert await renew(another, "a", fences, 60.0) == {other.run}
            await release(another, "a", fences)
            await another.exec_driver_sql("set lock_timeout = '5s'")
    held = {row.id: row.node for row in await select(pool, RUN.c.id, RUN.c.node)}
    assert held == {locked.run: "a", other.run: None}


async def test_a_node_that_leaves_while_a_row_is_locked_says_so_and_gives_back_the_others(
    told_all: Pool, node: Node
) -> None:
    await arrive(told_all, "a")
    locked, other = await two_runs(told_all)
    async with told_all.begin() as connection:
        await connection.execute(sa.select(RUN.c.id).where(RUN.c.id == locked.run).with_for_update())
        await node._leave({each.run: each.fence for each in (locked, other)})
    assert [row.left_at is None for row in await select(told_all, NODE.c.left_at)] == [False]
    assert [row.id for row in await select(told_all, RUN.c.id, RUN.c.node) if row.node is None] == [other.run]


async def test_runs_are_held_while_all_other_connections_are_in_use(
    made: str, told_all: Pool, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "SAY_SECONDS", 0.05)
    busy, renewals = Pool(made, 1, 30.0, "tests"), Pool(made, 1, 30.0, "tests")
    held, _ = await two_runs(told_all)
    async with told_all.connection("statement") as connection:
        await connection.execute(sa.update(RUN).values(lease_until=NOW + interval(1)))
        before = (await connection.execute(sa.select(RUN.c.lease_until).where(RUN.c.id == held.run))).scalar_one()
    working = Node("http://a", busy, renewals, rounds, Pace(lease_seconds=60.0))
    working.held[held.run] = held.fence
    async with busy.begin():
        renewing = asyncio.create_task(working._renew())
        try:
            async with asyncio.timeout(30):
                while not (await select(told_all, RUN.c.lease_until > before + interval(10)))[0][0]:
                    await asyncio.sleep(0.02)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
    await busy.close()
    await renewals.close()


async def test_a_node_that_starts_anew_says_when(pool: Pool) -> None:
    await arrive(pool, "a")
    ((first,),) = await select(pool, NODE.c.started_at)
    await arrive(pool, "a")
    ((again,),) = await select(pool, NODE.c.started_at)
    assert again > first
    async with pool.connection("statement") as connection:
        await say(connection, "a", "http://a")
        assert await claim(connection, "a", 1, 60.0) == []
    assert await select(pool, NODE.c.started_at) == [(again,)]
