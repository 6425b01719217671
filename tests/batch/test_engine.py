"""Two nodes never hold one run, one that was asleep changes nothing, and every run comes to an end: random histories.

Each history is played on real tables, with nodes that take runs, forget them, wake late and report twice.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snk.batch.platform import operations, turns
from snk.batch.platform.claims import Claim, claim, release, renew
from snk.batch.platform.judging import Report
from snk.batch.platform.moves import hold
from snk.batch.platform.noting import Called, note_calls
from snk.batch.platform.reporting import take
from snk.batch.platform.tables import IS_LIVE, NOW, RUN, TASK, TRIGGER
from snk.batch.platform.ticking import Ticking
from snk.batch.platform.triggering import Trigger, trigger
from snk.batch.state import LIVE, UNSETTLED, Refused, State
from snk.db.functions import interval
from snk.db.pool import Pool
from tests.batch.conftest import TABLES, define

NODES = ("a", "b", "c")
TARGETS = ("skips", "queues", "cancels", "chain", "fan")
ENDS = (State.COMPLETED, State.FAILED, State.RECON_FAILED, State.RUNNING)
STEP = st.one_of(
    st.tuples(st.just("trigger"), st.sampled_from(TARGETS), st.integers(0, 4)),
    st.tuples(st.just("turns")),
    st.tuples(st.just("claim"), st.sampled_from(NODES), st.integers(1, 3)),
    st.tuples(st.just("renew"), st.sampled_from(NODES)),
    st.tuples(st.just("pass"), st.sampled_from(["leases", "intervals"])),
    st.tuples(st.just("answer"), st.sampled_from(NODES), st.integers(0, 3), st.sampled_from([*ENDS, None])),
    st.tuples(st.just("report"), st.integers(0, 9), st.integers(-2, 1), st.sampled_from(ENDS)),
    st.tuples(st.sampled_from(["cancel", "skip", "rerun"]), st.integers(0, 9)),
)


@dataclass
class History:
    """What the nodes believe; the tables tell what is true.

    Attributes:
        believed: what each node took and has not given back, however long ago.
    """

    pool: Pool
    believed: dict[str, list[Claim]] = field(default_factory=lambda: {node: [] for node in NODES})

    async def step(self, kind: str, *given: Any) -> None:
        with suppress(Refused):
            await getattr(self, f"_{kind}")(*given)
        await self.check()

    async def check(self) -> None:
        """What always holds."""
        rows = await self.rows()
        active = [row.task for row in rows if row.active]
        assert len(active) == len(set(active)), "two active runs of one task"
        assert len({(row.task, row.key) for row in rows}) == len(rows), "two runs of one key"
        for row in rows:
            assert row.state in LIVE or not (row.active or row.node or row.due_at or row.lease_until)
            assert (row.ended_at is None) == (row.state in LIVE)

    async def rows(self) -> list[Any]:
        async with self.pool.connection("statement") as connection:
            return list((await connection.execute(sa.select(RUN).order_by(RUN.c.id))).all())

    async def _trigger(self, target: str, key: int) -> None:
        async with self.pool.begin() as connection:
            first = await trigger(connection, Trigger(target, str(key), "test", "me", {}))
        async with self.pool.begin() as connection:
            again = await trigger(connection, Trigger(target, str(key), "test", "me", {}))
        assert (again.outcome, again.run, again.again) == (first.outcome, first.run, True)

    async def _turns(self) -> None:
        async with self.pool.connection("statement") as connection:
            await turns.give(connection)
            groups = await turns.groups(connection)
        for run in groups:
            async with self.pool.begin() as connection:
                await turns.tend(connection, run, "a")

    async def _claim(self, node: str, most: int) -> None:
        before = {row.id: row for row in await self.rows()}
        async with self.pool.connection("statement") as connection:
            taken = await claim(connection, node, most, 60.0)
        for each in taken:
            assert before[each.run].lease_until is None, "a run was taken that another node holds"
            assert each.fence == before[each.run].fence + 1
        self.believed[node] += taken

    async def _renew(self, node: str) -> None:
        fences = {each.run: each.fence for each in self.believed[node]}
        true = {row.id for row in await self.rows() if row.node == node and fences.get(row.id) == row.fence}
        async with self.pool.connection("statement") as connection:
            assert await renew(connection, node, fences, 60.0) == true

    async def _pass(self, what: str) -> None:
        """Leases end, which is written as none, or runs become due."""
        async with self.pool.connection("statement") as connection:
            if what == "leases":
                await connection.execute(sa.update(RUN).values(lease_until=None))
            else:
                await connection.execute(sa.update(RUN).where(RUN.c.due_at > NOW).values(due_at=NOW))

    async def _answer(self, node: str, at: int, state: State | None) -> None:
        """A call ends that began at some time: its run may be held by another node by now, or be over."""
        if not self.believed[node]:
            return
        mine = self.believed[node].pop(at % len(self.believed[node]))
        before = {row.id: row for row in await self.rows()}[mine.run]
        async with self.pool.begin() as connection:
            held = await hold(connection, mine.run)
            assert held
            report = Report(mine.fence, state, "http://one") if state else None
            (noted,) = await note_calls(connection, [Called(mine, node, "http://one", str(state), 3600.0, 0.1, report)])
        after = {row.id: row for row in await self.rows()}[mine.run]
        assert noted == (before.node == node and before.fence == mine.fence)
        if not noted:
            assert after == before, "a node that does not hold a run changed it"

    async def _report(self, at: int, behind: int, state: State) -> None:
        """A callback, late, early or twice."""
        rows = await self.rows()
        tasks = [row for row in rows if row.mode is None]
        if not tasks:
            return
        run = tasks[at % len(tasks)]
        report = Report(run.fence + behind, state, "consumer")
        async with self.pool.begin() as connection:
            outcome = await take(connection, run.id, report)
        after = {row.id: row for row in await self.rows()}[run.id]
        valid = max(1, run.since) <= report.fence <= run.fence
        assert (outcome == "ahead") == (report.fence > run.fence)
        if outcome != "taken":
            assert after == run
            assert not valid or run.state not in LIVE
            return
        assert valid
        assert after.state == state
        async with self.pool.begin() as connection:
            await take(connection, run.id, report)
        assert {row.id: row for row in await self.rows()}[run.id] == after, "the same report changed something twice"

    async def _cancel(self, at: int) -> None:
        await self._operate(operations.cancel, at)

    async def _skip(self, at: int) -> None:
        await self._operate(operations.skip, at)

    async def _rerun(self, at: int) -> None:
        await self._operate(operations.rerun, at)

    async def _operate(self, operation: Any, at: int) -> None:
        if rows := await self.rows():
            async with self.pool.begin() as connection:
                await operation(connection, rows[at % len(rows)].id, "me", "because")

    async def end(self) -> None:
        """All nodes die but one, every consumer completes: then every run ends."""
        for _ in range(100):
            await self._pass("leases")
            await self._pass("intervals")
            await self._turns()
            await self._claim("a", 100)
            while self.believed["a"]:
                await self._answer("a", 0, State.COMPLETED)
                await self.check()
            live = await self.live()
            if not live:
                return
        raise AssertionError(f"runs that never end: {live}")

    async def live(self) -> list[Any]:
        """Runs that are live, but for those whose group has failed before it was their turn: it may be run again."""
        async with self.pool.connection("statement") as connection:
            parent = RUN.alias("parent")
            over = sa.exists().where(parent.c.id == RUN.c.parent, parent.c.state.in_(sorted(UNSETTLED)))
            return list((await connection.execute(sa.select(RUN).where(IS_LIVE, sa.not_(over)))).all())


async def play(dsn: str, steps: Iterable[tuple[Any, ...]]) -> None:
    pool = Pool(dsn, 3, 30.0, "tests")
    try:
        async with pool.connection("statement") as connection:
            listed = ", ".join(f"snk_batch.{name}" for name in TABLES.split(", "))
            await connection.exec_driver_sql(f"truncate {listed} restart identity")
        await define(
            pool,
            skips={"overlap": "skip"},
            queues={},
            cancels={"overlap": "cancel"},
            chain={"tasks": ["skips", "queues"], "mode": "SYNC"},
            fan={"tasks": ["queues", "cancels"], "mode": "ASYNC"},
        )
        history = History(pool)
        for step in steps:
            await history.step(*step)
        await history.end()
        async with pool.connection("statement") as connection:
            unknown = sa.select(TRIGGER).where(TRIGGER.c.outcome == "run", TRIGGER.c.run.is_(None))
            assert not (await connection.execute(unknown)).all()
    finally:
        await pool.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(STEP, min_size=5, max_size=25))
def test_any_history_keeps_what_always_holds_and_comes_to_its_end(made: str, steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(play(made, steps))


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
async def test_a_trigger_beside_a_run_that_is_under_way(pool: Pool, overlap: str) -> None:
    await define(pool, prices={"overlap": overlap})
    outcomes, states = [], []
    for key in "123":
        async with pool.begin() as connection:
            outcomes.append((await trigger(connection, Trigger("prices", key, "test", "me", {}))).outcome)
        async with pool.connection("statement") as connection:
            await turns.give(connection)
            await claim(connection, "a", 10, 60.0)
    async with pool.connection("statement") as connection:
        rows = await connection.execute(sa.select(RUN.c.state, RUN.c.active).order_by(RUN.c.id))
        states = [(state, active) for state, active in rows]
    expected = {
        "skip": (["run", "skipped", "skipped"], [("WAITING", True)]),
        "queue": (["run", "run", "joined"], [("WAITING", True), ("WAITING", False)]),
        "cancel": (["run", "run", "run"], [("CANCELLED", False), ("CANCELLED", False), ("WAITING", True)]),
    }
    assert (outcomes, states) == expected[overlap]


async def test_the_database_itself_refuses_a_second_active_run(pool: Pool) -> None:
    await define(pool, prices={})
    for key in "12":
        async with pool.begin() as connection:
            await trigger(connection, Trigger("prices", key, "test", "me", {"key": key}))
    with pytest.raises(Exception, match="run_active"):
        async with pool.begin() as connection:
            await connection.execute(sa.update(RUN).values(active=True))


async def test_a_run_is_due_by_the_clock_of_the_database(pool: Pool) -> None:
    await define(pool, prices={})
    async with pool.begin() as connection:
        await trigger(connection, Trigger("prices", "1", "test", "me", {}))
    async with pool.connection("statement") as connection:
        assert await turns.give(connection) == 1
        await connection.execute(sa.update(RUN).values(due_at=NOW + interval(3600)))
        assert await claim(connection, "a", 10, 60.0) == []
        await connection.execute(sa.update(RUN).values(due_at=NOW))
        (taken,) = await claim(connection, "a", 10, 60.0)
        assert await claim(connection, "b", 10, 60.0) == []
        await connection.execute(sa.update(RUN).values(lease_until=NOW - interval(1)))
        (again,) = await claim(connection, "b", 10, 60.0)
        assert (again.run, again.fence) == (taken.run, taken.fence + 1)


async def test_a_run_that_is_given_back_is_free_at_once_and_nothing_late_changes_it(pool: Pool) -> None:
    await define(pool, prices={})
    async with pool.begin() as connection:
        await trigger(connection, Trigger("prices", "1", "test", "me", {}))
    async with pool.connection("statement") as connection:
        assert await turns.give(connection) == 1
        (taken,) = await claim(connection, "a", 10, 3600.0)
        await release(connection, "a", {taken.run: taken.fence - 1})
        await release(connection, "b", {taken.run: taken.fence})
        assert await claim(connection, "b", 10, 3600.0) == [], "it was not theirs to give back"
        await release(connection, "a", {taken.run: taken.fence})
        (again,) = await claim(connection, "b", 10, 3600.0)
        assert (again.run, again.fence) == (taken.run, taken.fence + 1)
        await release(connection, "a", {taken.run: taken.fence})
        assert await renew(connection, "b", {again.run: again.fence}, 3600.0) == {again.run}
    async with pool.begin() as connection:
        report = Report(taken.fence, State.COMPLETED, "one")
        assert await note_calls(connection, [Called(taken, "a", "one", "COMPLETED", 1.0, 1.0, report)]) == [False]


@pytest.mark.long
async def test_many_nodes_at_once_share_the_runs_and_take_none_twice(pool: Pool) -> None:
    tasks: dict[str, dict[str, object]] = {f"task{number}": {} for number in range(60)}
    await define(pool, **tasks)
    for name in tasks:
        async with pool.begin() as connection:
            await trigger(connection, Trigger(name, "1", "test", "me", {}))

    async def node(name: str) -> list[int]:
        taken = []
        for _ in range(20):
            async with pool.connection("statement") as connection:
                await turns.give(connection)
                taken += [each.run for each in await claim(connection, name, 3, 60.0)]
        return taken

    taken = [run for each in await asyncio.gather(*map(node, "abcde")) for run in each]
    assert sorted(taken) == list(range(1, 61))


def test_unsettled_runs_are_not_live() -> None:
    assert not LIVE & UNSETTLED


@pytest.mark.parametrize("catch_up", [1, 3])
async def test_of_ticks_that_were_missed_the_newest_are_made_up_for_once(pool: Pool, catch_up: int) -> None:
    began = await value(pool, sa.select(NOW))
    await define(pool, prices={"cron": "* * * * *", "catch_up": catch_up})
    assert began < await value(pool, sa.select(TASK.c.next_tick))
    began = await value(pool, sa.select(NOW))
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(TASK).values(next_tick=sa.func.date_trunc("minute", NOW - interval(600))))
    found = await asyncio.gather(Ticking(pool, "a").tick(), Ticking(pool, "b").tick())
    assert sorted(found) == [0, catch_up]
    async with pool.connection("statement") as connection:
        keys = list((await connection.execute(sa.select(TRIGGER.c.key).order_by(TRIGGER.c.key))).scalars())
    assert len(set(keys)) == catch_up
    tick, ended = await value(pool, sa.select(TASK.c.next_tick)), await value(pool, sa.select(NOW))
    assert began < tick <= ended + timedelta(minutes=1)


async def value(pool: Pool, question: sa.Select[tuple[Any]]) -> Any:
    """The single value that is selected."""
    async with pool.connection("statement") as connection:
        return (await connection.execute(question)).scalar_one()


async def test_a_run_is_overdue_once_and_goes_on(pool: Pool) -> None:
    await define(pool, prices={"deadline_minutes": 5})
    async with pool.begin() as connection:
        await trigger(connection, Trigger("prices", "1", "test", "me", {}))
    async with pool.connection("statement") as connection:
        await turns.give(connection)
        assert await turns.overdue(connection) == []
        await connection.execute(sa.update(RUN).values(deadline_at=RUN.c.deadline_at - interval(301)))
        assert await turns.overdue(connection) == [(1, "prices")]
        assert await turns.overdue(connection) == []
        assert len(await claim(connection, "a", 10, 60.0)) == 1
