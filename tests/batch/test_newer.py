"""A definition that a newer version wrote, while nodes of this one still run: they leave it alone, and go on."""

from typing import Any

import pytest
import sqlalchemy as sa

from snk.batch.definition import Task
from snk.batch.platform import defining
from snk.batch.platform.backfilling import preview
from snk.batch.platform.channel import MESSAGES
from snk.batch.platform.defining import NotUnderstood
from snk.batch.platform.rounds import Rounds
from snk.batch.platform.tables import ATTEMPT, NOW, RUN, TASK, TRIGGER
from snk.batch.platform.ticking import Ticking
from snk.batch.platform.triggering import Trigger, trigger
from snk.db.functions import interval
from snk.db.pool import Pool
from tests.batch.conftest import define
from tests.batch.test_alerts import call, rounds, run_of, told_all
from tests.batch.test_api import Platform, platform
from tests.kit.batch import Consumer, serving
from tests.kit.databases import until

__all__ = ["platform", "rounds", "told_all"]
WORDS = "its definition is not one that this version understands"


async def write(pool: Pool, name: str, *, newer: bool) -> None:
    """Have a definition be one of a newer version, or of this one."""
    more = {"colour": "blue"} if newer else {}
    async with pool.begin() as connection:
        mine = TASK.c.name == name
        known = (await connection.execute(sa.select(TASK.c.definition).where(mine))).scalar_one()
        definition = {key: each for key, each in known.items() if key != "colour"} | more
        await connection.execute(sa.update(TASK).where(mine).values(definition=definition, changed_at=NOW))


async def select(pool: Pool, *columns: Any) -> list[Any]:
    async with pool.connection("statement") as connection:
        return list((await connection.execute(sa.select(*columns))).all())


async def test_what_is_asked_of_such_a_task_is_refused_with_its_name(pool: Pool) -> None:
    await define(pool, prices={"cron": "* * * * *"}, other={})
    await write(pool, "prices", newer=True)
    for name, fine in (("prices", False), ("other", True)):
        async with pool.begin() as connection:
            if fine:
                assert (await trigger(connection, Trigger(name, "1", "test", "me", {}))).outcome == "run"
                continue
            with pytest.raises(NotUnderstood, match=f"'prices': {WORDS} .colour: ") as refused:
                await trigger(connection, Trigger(name, "1", "test", "me", {}))
            assert "Use the version of SNK that wrote it" in refused.value.hint
            now = (await connection.execute(sa.select(NOW))).scalar_one()
            with pytest.raises(NotUnderstood):
                await preview(connection, name, now, now)
            with pytest.raises(NotUnderstood):
                defining.as_definitions(await defining.stored(connection))


async def test_a_message_for_such_a_task_ends_no_node(platform: Platform) -> None:
    await platform.define(newer={"message": "newer.ready"}, known={"message": "known.ready"})
    await write(platform.pool, "newer", newer=True)
    operator, upstream = platform.as_("operator"), platform.as_("upstream")
    sent = {"message": "newer.ready"}
    for status, problem in (
        await operator("POST", "/v1/tasks/newer/trigger", {}),
        await upstream("POST", "/v1/messages", sent, Idempotency_Key="1"),
    ):
        assert (status, problem["type"]) == (503, "urn:snk:problem:not-understood")
        assert f"'newer': {WORDS}" in problem["detail"]
    for name in ("newer", "known"):
        async with platform.pool.begin() as connection:
            said = f'{{"message": "{name}.ready", "key": "2"}}'
            await connection.execute(sa.select(sa.func.pg_notify(MESSAGES, said)))
    await platform.called("known")  # it was sent after the other one

    async def both_refused() -> bool:
        return all("notification_refused" in platform.world.log(node) for node in "ab")

    await until(both_refused, "both nodes to refuse it")
    assert WORDS in platform.world.log("a")
    assert {node.poll() for node in platform.world.nodes.values()} == {None}
    assert await platform.as_("reader").get("/v1/runs?task=newer") == {"runs": [], "next": None}


async def test_a_run_of_such_a_task_is_tried_again_and_one_of_a_task_that_is_gone_fails(
    told_all: Pool, rounds: Rounds
) -> None:
    async with serving(Consumer()) as consumer:
        await define(told_all, prices={"consumers": [consumer.url], "most_tries": 1})
        await run_of(told_all)
        await write(told_all, "prices", newer=True)
        for _ in range(Task.model_fields["most_tries"].default + 1):
            await call(told_all, rounds)
        ((state, tries, active),) = await select(told_all, RUN.c.state, RUN.c.tries, RUN.c.active)
        assert (state, tries, active, consumer.calls) == ("WAITING", 21, True, [])
        words = "node a does not understand its definition, which is of a newer version"
        assert {row.outcome for row in await select(told_all, ATTEMPT.c.outcome)} == {words}
        async with told_all.begin() as connection:
            await connection.execute(sa.delete(TASK))
        await call(told_all, rounds)
        ((state, reason),) = await select(told_all, RUN.c.state, RUN.c.reason)
        assert (state, reason) == ("FAILED", "its task is not defined any more")


async def test_a_node_of_the_version_that_understands_it_goes_on(told_all: Pool, rounds: Rounds) -> None:
    async with serving(Consumer()) as consumer:
        await define(told_all, prices={"consumers": [consumer.url]})
        await run_of(told_all)
        await write(told_all, "prices", newer=True)
        await call(told_all, rounds)
        await write(told_all, "prices", newer=False)
        await call(told_all, rounds)
        assert await select(told_all, RUN.c.state, RUN.c.tries) == [("COMPLETED", 0)]


async def test_a_calendar_that_is_not_understood_ticks_again_when_it_is_written_anew(pool: Pool) -> None:
    await define(pool, prices={"cron": "* * * * *"}, other={"cron": "* * * * *"})
    await write(pool, "prices", newer=True)
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(TASK).values(next_tick=sa.func.date_trunc("minute", NOW - interval(600))))
    ticking = Ticking(pool, "a")
    assert await ticking.tick() == 1
    assert [row.target for row in await select(pool, TRIGGER.c.target)] == ["other"]
    assert [await ticking.tick(), await Ticking(pool, "b").tick()] == [0, 0]
    await write(pool, "prices", newer=False)
    assert await ticking.tick() == 1
