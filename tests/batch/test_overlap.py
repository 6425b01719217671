"""What becomes of triggers while runs are under way, and of the tasks of groups that end."""

from typing import Any

import pytest
import sqlalchemy as sa

from snk.batch.platform import operations, turns
from snk.batch.platform.claims import claim
from snk.batch.platform.moves import Move, hold, move
from snk.batch.platform.operations import files_again
from snk.batch.platform.tables import FILE, RUN
from snk.batch.platform.triggering import CALENDAR, Trigger, Triggered, trigger, trigger_all
from snk.batch.state import Event, Refused, State
from snk.db.pool import Pool
from tests.batch.conftest import define

GROUP = {"tasks": ["one", "two", "three"]}


async def triggered(pool: Pool, target: str, key: str, **given: Any) -> Triggered:
    source = CALENDAR if key.startswith(CALENDAR) else "test"
    async with pool.begin() as connection:
        return await trigger(connection, Trigger(target, key, source, "me", given.pop("payload", {}), **given))


async def give(pool: Pool) -> None:
    """All turns, and the ends of all groups."""
    async with pool.connection("statement") as connection:
        while await turns.give(connection):
            pass
        groups = await turns.groups(connection)
    for run in groups:
        async with pool.begin() as connection:
            await turns.tend(connection, run, "a")


async def happen(pool: Pool, run: int, event: Event) -> None:
    async with pool.begin() as connection:
        held = await hold(connection, run)
        assert held
        await move(connection, held, Move(event, "me", "because"))


async def states(pool: Pool) -> dict[int, str]:
    async with pool.connection("statement") as connection:
        return {run: state for run, state in await connection.execute(sa.select(RUN.c.id, RUN.c.state))}  # noqa: C416


async def actives(pool: Pool) -> list[int]:
    async with pool.connection("statement") as connection:
        return list((await connection.execute(sa.select(RUN.c.id).where(RUN.c.active).order_by(RUN.c.id))).scalars())


async def operate(pool: Pool, operation: Any, run: int, **given: Any) -> None:
    async with pool.begin() as connection:
        await operation(connection, run, "me", "because", **given)


async def test_a_trigger_joins_only_a_run_that_does_the_same(pool: Pool) -> None:
    await define(pool, prices={"files": {"a": {}, "b": {}}})
    outcomes = []
    for key, given in (
        ("active", {}),
        ("monday", {"payload": {"day": 1}}),
        ("tuesday", {"payload": {"day": 2}}),
        ("monday again", {"payload": {"day": 1}}),
        ("a file", {"payload": {"day": 1}, "files": ("a",)}),
        ("the file again", {"payload": {"day": 1}, "files": ("a",)}),
    ):
        outcomes.append(await triggered(pool, "prices", key, **given))
        await give(pool)
    assert [(each.outcome, each.run) for each in outcomes] == [
        ("run", 1),
        ("run", 2),
        ("run", 3),
        ("joined", 2),
        ("run", 4),
        ("joined", 4),
    ]


async def call(pool: Pool) -> None:
    """All that is due."""
    async with pool.connection("statement") as connection:
        await claim(connection, "a", 10, 60.0)


async def test_a_trigger_joins_a_run_until_its_consumer_is_called(pool: Pool) -> None:
    """As while the task is paused: its turn has come, and nothing of it was done."""
    await define(pool, prices={})
    outcomes = []
    for key, day in (("p1", 25), ("p2", 24), ("p3", 25)):
        outcomes.append(await triggered(pool, "prices", key, payload={"day": day}))
        await give(pool)
    assert [(each.outcome, each.run) for each in outcomes] == [("run", 1), ("run", 2), ("joined", 1)]
    await call(pool)
    assert (await triggered(pool, "prices", "p4", payload={"day": 25})).run == 3
    async with pool.connection("statement") as connection:  # nobody calls it just now, as between two calls
        await connection.execute(sa.update(RUN).values(node=None, lease_until=None))
    assert (await triggered(pool, "prices", "p5", payload={"day": 25})).run == 3


async def test_a_trigger_joins_a_run_that_a_node_takes_at_the_same_moment_or_starts_one(pool: Pool) -> None:
    await define(pool, prices={})
    await triggered(pool, "prices", "1")
    await give(pool)
    async with pool.connection("write") as node:
        assert len(await claim(node, "a", 10, 60.0)) == 1
        assert (await triggered(pool, "prices", "2")).run == 1, "the call follows when that is committed"
        await node.commit()
    assert (await triggered(pool, "prices", "3")).run == 2


async def test_a_trigger_joins_the_run_of_a_group_until_its_turn_comes(pool: Pool) -> None:
    await define(pool, one={}, two={}, three={}, group={**GROUP, "mode": "ASYNC"})
    assert (await triggered(pool, "group", "1")).run == 1
    assert (await triggered(pool, "group", "2")).outcome == "joined"
    await give(pool)
    await call(pool)  # its tasks; nobody calls the group itself
    assert (await triggered(pool, "group", "3")).run == 5
    assert (await triggered(pool, "group", "4")).outcome == "joined"


async def test_no_trigger_joins_what_is_run_again(pool: Pool) -> None:
    """A rerun loads what was asked for before; the trigger asks for what is there now."""
    await define(pool, prices={})
    await triggered(pool, "prices", "first")
    await give(pool)
    await happen(pool, 1, Event.FAILED)
    await triggered(pool, "prices", "second")
    await give(pool)
    await call(pool)
    await operate(pool, operations.rerun, 1)
    assert (await triggered(pool, "prices", "third")).outcome == "run"


async def test_the_newest_ticks_wait_behind_a_run_that_takes_too_long(pool: Pool) -> None:
    await define(pool, prices={"cron": "* * * * *", "catch_up": 2})
    for minute in range(5):
        await triggered(pool, "prices", f"{CALENDAR} 10:0{minute}", payload={"tick": minute})
        await give(pool)
    assert await states(pool) == {1: "WAITING", 2: "CANCELLED", 3: "CANCELLED", 4: "WAITING", 5: "WAITING"}
    assert await actives(pool) == [1]
    async with pool.connection("statement") as connection:
        reason = (await connection.execute(sa.select(RUN.c.reason).where(RUN.c.id == 2))).scalar_one()
    assert reason == f"overtaken by the trigger {CALENDAR} 10:03"


async def test_as_many_missed_ticks_are_made_up_for_as_the_calendar_says(pool: Pool) -> None:
    await define(pool, prices={"cron": "* * * * *", "catch_up": 3})
    ticks = [Trigger("prices", f"{CALENDAR} {at}", CALENDAR, "a", {"tick": at}) for at in range(3)]
    async with pool.begin() as connection:
        found = await trigger_all(connection, ticks)
    assert [each.outcome for each in found] == ["run", "run", "run"]
    assert set((await states(pool)).values()) == {"WAITING"}


async def test_a_task_that_is_cancelled_ends_its_group_in_order_with_what_waits(pool: Pool) -> None:
    await define(pool, one={}, two={}, three={}, group={**GROUP, "mode": "SYNC"})
    await triggered(pool, "group", "1")
    await give(pool)
    await operate(pool, operations.cancel, 2)
    await give(pool)
    assert await states(pool) == {1: "CANCELLED", 2: "CANCELLED", 3: "CANCELLED", 4: "CANCELLED"}
    assert (await triggered(pool, "two", "alone")).run == 5
    await give(pool)
    assert await actives(pool) == [5]


async def test_a_group_that_a_newer_trigger_cancels_takes_its_tasks_with_it(pool: Pool) -> None:
    await define(pool, one={}, two={}, three={}, group={**GROUP, "mode": "ASYNC", "overlap": "cancel"})
    for key in "12":
        await triggered(pool, "group", key)
        await give(pool)
    assert await states(pool) == {**dict.fromkeys((1, 2, 3, 4), "CANCELLED"), **dict.fromkeys((5, 6, 7, 8), "WAITING")}
    assert await actives(pool) == [5, 6, 7, 8]


async def test_a_task_of_a_group_that_was_cancelled_is_run_again_by_itself(pool: Pool) -> None:
    await define(pool, one={}, two={}, three={}, group={**GROUP, "mode": "SYNC"})
    await triggered(pool, "group", "1")
    await give(pool)
    await happen(pool, 2, Event.FAILED)
    await operate(pool, operations.cancel, 1)
    await give(pool)
    await operate(pool, operations.rerun, 2)
    await give(pool)
    assert await actives(pool) == [2]
    await happen(pool, 2, Event.COMPLETED)
    await give(pool)
    assert await states(pool) == {1: "CANCELLED", 2: "COMPLETED", 3: "CANCELLED", 4: "CANCELLED"}


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel"])
async def test_what_waits_in_a_group_that_failed_keeps_no_trigger_back(pool: Pool, overlap: str) -> None:
    await define(pool, one={}, two={"overlap": overlap}, three={}, group={**GROUP, "mode": "SYNC"})
    await triggered(pool, "group", "1")
    await give(pool)
    await happen(pool, 2, Event.FAILED)
    await give(pool)
    assert (await triggered(pool, "two", "alone")).run == 5
    await give(pool)
    assert await actives(pool) == [5]
    assert (await states(pool))[3] == "WAITING", "it begins when the group is run again"
    await happen(pool, 5, Event.COMPLETED)
    await operate(pool, operations.rerun, 2)
    await give(pool)
    await happen(pool, 2, Event.COMPLETED)
    await give(pool)
    assert await actives(pool) == [1, 3]


@pytest.mark.parametrize(
    ("files", "defined", "completed", "again", "expected"),
    [
        (None, "ab", "", "failed", None),
        (None, "ab", "a", "failed", ("b",)),
        (None, "ab", "a", "whole", None),
        (None, "ab", "ab", "failed", None),
        (["a"], "ab", "", "failed", ("a",)),
        (["a"], "ab", "a", "whole", ("a",)),
        (["a", "b"], "abc", "a", "failed", ("b",)),
        (["a", "b"], "abc", "ab", "failed", ("a", "b")),
        (["a", "gone"], "ab", "a", "failed", ("a",)),
        (["gone"], "ab", "", "failed", ()),
        (None, "", "", "failed", None),
    ],
)
def test_a_rerun_loads_what_was_to_be_loaded_and_is_not_complete(
    files: list[str] | None, defined: str, completed: str, again: str, expected: tuple[str, ...] | None
) -> None:
    assert files_again(files, list(defined), list(completed), whole=again == "whole") == expected


async def test_a_run_none_of_whose_files_is_defined_any_more_cannot_be_run_again(pool: Pool) -> None:
    await define(pool, prices={"files": {"a": {}, "b": {}}})
    await triggered(pool, "prices", "1", files=("a",))
    await happen(pool, 1, Event.FAILED)
    await define(pool, prices={"files": {"b": {}}})
    with pytest.raises(Refused, match="its task has none of its files any more: a"):
        await operate(pool, operations.rerun, 1)
    assert await states(pool) == {1: "FAILED"}


async def test_files_that_a_consumer_never_told_of_are_run_again_too(pool: Pool) -> None:
    await define(pool, prices={"files": {"a": {}, "b": {}, "c": {}}})
    await triggered(pool, "prices", "1", files=("a", "b"))
    await happen(pool, 1, Event.FAILED)
    async with pool.begin() as connection:
        await connection.execute(sa.insert(FILE), [{"run": 1, "name": "a", "state": State.COMPLETED}])
    await operate(pool, operations.rerun, 1)
    async with pool.connection("statement") as connection:
        row = (await connection.execute(sa.select(RUN.c.files, RUN.c.state))).one()
        told = list((await connection.execute(sa.select(FILE.c.name))).scalars())
    assert (row.files, row.state, told) == (["b"], "WAITING", ["a"])
