"""Why a task does not run: each cause is named, by a node's API where a consumer has a part in it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from snk.batch.platform import absence, pausing, turns
from snk.batch.platform.claims import claim
from snk.batch.platform.facts import facts_of
from snk.batch.platform.tables import NODE
from snk.batch.platform.tables import NOW as AT
from snk.batch.platform.tables import RUN as RUNS
from snk.batch.platform.triggering import Trigger, trigger
from snk.batch.platform.why import Ended, Facts, LiveRun, Pause, reasons, well
from snk.db.functions import interval
from snk.db.pool import Pool
from tests.batch.conftest import define
from tests.batch.test_api import Platform, platform
from tests.kit.batch import told
from tests.kit.databases import until

__all__ = ["platform"]
NOW = datetime(2026, 11, 25, 2, tzinfo=UTC)
AT_TWO = "2026-11-25T02:00:00Z"
LATER = NOW + timedelta(seconds=30)
RUN = LiveRun(
    id=7,
    state="RUNNING",
    active=True,
    blocked_by=None,
    parent=None,
    waits_for=None,
    node=None,
    due_at=LATER,
    tries=0,
    consumer="http://one/",
    last="RUNNING",
)
FACTS = Facts("prices", NOW, (), "prices.ready", LATER, 1, RUN, None)
STARTS = "its calendar, at 2026-11-25T02:00:30Z, or the message 'prices.ready', or `snk batch trigger prices`"
QUEUED = replace(RUN, state="WAITING", active=False)
GROUP = replace(RUN, due_at=None, consumer=None, last=None)
WAITING = [("rates", "RUNNING", "it cannot be reached"), ("trades", "WAITING", "the day is not over")]
WAITING_TOLD = [
    "run 7: file rates is RUNNING: it cannot be reached",
    "run 7: file trades is WAITING: the day is not over",
]
IDLE = replace(FACTS, run=None)
TEN = [f"run {number} of t{number} is WAITING" for number in range(10)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, ["run 7 waits for its interval; the next call follows in 30.0 s"]),
        (replace(FACTS, run=replace(RUN, node="a")), []),
        (replace(FACTS, run=replace(RUN, due_at=NOW)), ["run 7 is due, and no node has taken it yet"]),
        (
            replace(FACTS, nodes=0, run=replace(RUN, due_at=NOW)),
            ["no node is alive; start one with `snk batch platform`"],
        ),
        (
            replace(FACTS, pauses=[Pause("prices", "kim", "month end")], run=replace(RUN, due_at=NOW)),
            ["kim has paused it: month end; `snk batch resume prices` takes that back"],
        ),
        (
            replace(FACTS, pauses=[Pause("nightly", "kim", "")], run=replace(RUN, due_at=NOW, parent=4)),
            ["kim has paused the group nightly, which its run belongs to; `snk batch resume nightly` takes that back"],
        ),
        (
            replace(FACTS, run=replace(GROUP, tasks=[(5, "one", "RUNNING"), (6, "two", "WAITING")])),
            ["run 7 is that of a group, whose tasks run: run 5 of one is RUNNING, run 6 of two is WAITING"],
        ),
        (
            replace(FACTS, run=replace(GROUP, tasks=[(number, f"t{number}", "WAITING") for number in range(12)])),
            [f"run 7 is that of a group, whose tasks run: {', '.join(TEN)}, and 2 more"],
        ),
        (
            replace(FACTS, run=replace(GROUP, tasks=[])),
            ["all tasks of run 7 have ended, which the next look of a node will find"],
        ),
        (replace(FACTS, run=replace(QUEUED, blocked_by=5)), ["run 7 is queued behind run 5"]),
        (
            replace(FACTS, run=replace(QUEUED, parent=4, waits_for=(6, "FAILED"))),
            ["run 7 belongs to run 4 of a group, where run 6 comes first, which is FAILED"],
        ),
        (replace(FACTS, run=QUEUED), ["it is the turn of run 7, which the next look of a node will find"]),
        (
            replace(FACTS, run=replace(RUN, tries=3, last="no connection")),
            ["run 7: 3 calls in a row failed (http://one/: no connection); the next one follows in 30.0 s"],
        ),
        (
            replace(FACTS, run=replace(RUN, files=WAITING)),
            [*WAITING_TOLD, "run 7 waits for its interval; the next call follows in 30.0 s"],
        ),
        (replace(FACTS, run=replace(RUN, node="a", files=WAITING)), WAITING_TOLD),
        (replace(FACTS, run=None), [f"nothing has triggered it yet; it is started by {STARTS}"]),
        (
            replace(FACTS, run=None, ended=Ended(3, "FAILED", "no", NOW)),
            [
                f"its last run, run 3, is FAILED since {AT_TWO}: no; `snk batch rerun 3` runs what failed again",
                f"no run is under way; it is started by {STARTS}",
            ],
        ),
        (
            replace(FACTS, run=None, ended=Ended(21, "COMPLETED", "", NOW)),
            [f"no run is under way; the last one, run 21, is COMPLETED since {AT_TWO}; it is started by {STARTS}"],
        ),
    ],
)
def test_each_cause_is_one_sentence(facts: Facts, expected: list[str]) -> None:
    assert list(reasons(facts)) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (IDLE, True),
        (replace(IDLE, ended=Ended(3, "COMPLETED", "", NOW)), True),
        (replace(IDLE, ended=Ended(3, "CANCELLED", "skipped", NOW)), True),
        (replace(IDLE, ended=Ended(3, "FAILED", "no", NOW)), False),
        (replace(IDLE, ended=Ended(3, "RECON_FAILED", "no", NOW)), False),
        (replace(IDLE, pauses=[Pause("prices", "kim", "")]), False),
        (replace(IDLE, nodes=0), False),
        (FACTS, False),
        (replace(FACTS, run=replace(RUN, node="a")), True),
        (replace(FACTS, run=replace(RUN, node="a", files=WAITING)), False),
    ],
)
def test_what_is_idle_is_well_unless_it_failed_is_paused_or_has_no_node(facts: Facts, *, expected: bool) -> None:
    assert well(facts) == expected


async def why(platform: Platform, task: str) -> str:
    return "\n".join((await platform.as_("reader").get(f"/v1/tasks/{task}/why"))["reasons"])


async def test_a_consumer_that_cannot_be_reached_is_named(platform: Platform) -> None:
    nobody = "http://127.0.0.1:9/v1/tasks/any"
    await platform.define(lonely={"consumers": [nobody], "retry_first_ms": 30_000, "most_tries": 9})
    await platform.as_("operator")("POST", "/v1/tasks/lonely/trigger", {})

    async def named() -> bool:
        return f"1 call in a row failed ({nobody}: " in await why(platform, "lonely")

    await until(named, "the consumer to be named")


async def test_a_file_that_waits_is_named_in_whatever_state_until_nothing_is_said_of_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, object] = {name: {} for name in ("done", "quiet", "rates", "trades")}
    await platform.define(early={"files": files})

    def says(call: dict[str, Any]) -> dict[str, Any]:
        return told(
            call,
            "RUNNING",
            done={"state": "COMPLETED", "reason": "said nevertheless"},
            quiet={"state": "RUNNING"},
            rates={"state": "RUNNING", "reason": "a page is late"},
            trades={"state": "WAITING", "reason": "the day is not over"},
        )

    monkeypatch.setattr(platform.consumer, "says", says)
    call = await platform.running("early")
    waiting = (
        f"run {call['run']}: file rates is RUNNING: a page is late\n"
        f"run {call['run']}: file trades is WAITING: the day is not over\n"
    )
    found = await why(platform, "early")
    assert found.startswith(f"{waiting}run {call['run']} waits for its interval")
    report = told(call, "RUNNING", trades={"state": "RUNNING"}, rates={"state": "RUNNING"})
    assert (await platform.as_("reporter")("POST", f"/v1/runs/{call['run']}/callback", report))[0] == 200
    assert "file " not in await why(platform, "early")


async def told_why(pool: Pool, name: str) -> list[str]:
    async with pool.connection("snapshot") as connection, connection.begin():
        return list(reasons(await facts_of(connection, name)))


async def start(pool: Pool, name: str) -> None:
    """Have a run be active, while a node is alive."""
    async with pool.begin() as connection:
        await absence.arrive(connection, "a", "http://a", 60.0)
        await trigger(connection, Trigger(name, "1", "test", "me", {}))
    async with pool.connection("statement") as connection:
        while await turns.give(connection):
            pass


async def test_nodes_that_were_killed_in_a_call_are_missed(pool: Pool) -> None:
    await define(pool, prices={})
    await start(pool, "prices")
    async with pool.connection("statement") as connection:
        assert len(await claim(connection, "a", 1, 60.0)) == 1
    assert await told_why(pool, "prices") == []
    async with pool.connection("statement") as connection:
        await connection.execute(sa.update(RUNS).values(lease_until=AT - interval(1)))
        assert await told_why(pool, "prices") == ["run 1 is due, and no node has taken it yet"]
        await connection.execute(sa.update(NODE).values(seen_at=AT - interval(3600)))
    assert await told_why(pool, "prices") == ["no node is alive; start one with `snk batch platform`"]


async def test_the_pause_of_a_group_is_that_of_its_tasks(pool: Pool) -> None:
    await define(pool, prices={}, nightly={"tasks": ["prices"], "mode": "ASYNC"})
    await start(pool, "nightly")
    assert await told_why(pool, "nightly") == [
        "run 1 is that of a group, whose tasks run: run 2 of prices is WAITING",
    ]
    async with pool.begin() as connection:
        await pausing.pause(connection, "nightly", "kim", "month end")
    words = "has paused the group nightly, which its run belongs to: month end"
    assert await told_why(pool, "prices") == [f"kim {words}; `snk batch resume nightly` takes that back"]
    async with pool.begin() as connection:
        await pausing.pause(connection, "prices", "ann", "")
    assert (await told_why(pool, "prices"))[0] == "ann has paused it; `snk batch resume prices` takes that back"
    assert len(await told_why(pool, "prices")) == 2
