"""Ticks that never triggered are made up for, each once, and the present goes first."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from snk.batch.calendar import Calendar
from snk.batch.platform import turns
from snk.batch.platform.backfilling import MOST, Backfill, NoBackfill, backfill, preview, ticks_between
from snk.batch.platform.claims import claim
from snk.batch.platform.moves import Move, Unknown, hold, move
from snk.batch.platform.tables import AUDIT, NOW, RUN, TASK, TRIGGER
from snk.batch.platform.ticking import Ticking
from snk.batch.platform.triggering import Trigger, trigger
from snk.batch.state import Event
from snk.db.functions import interval
from snk.db.pool import Pool
from tests.batch.conftest import define
from tests.kit.batch import World

BERLIN = "Europe/Berlin"
SUMMER = datetime(2026, 3, 29, tzinfo=UTC)
"""The day on which 02:00 to 03:00 is left out."""
WINTER = datetime(2026, 10, 25, tzinfo=UTC)
"""The day on which 02:00 to 03:00 comes twice."""
START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
HOURLY = "0 * * * *"


def clock(ticks: list[datetime]) -> list[str]:
    return [each.strftime("%dT%H:%M") for each in ticks]


@pytest.mark.parametrize(
    ("cron", "start", "end", "expected"),
    [
        ("0 * * * *", START, START + timedelta(hours=2), ["01T00:00", "01T01:00"]),
        ("30 * * * *", START, START + timedelta(hours=1, minutes=30), ["01T00:30"]),
        # 02:30 does not exist: at once after the gap; hourly ones: one hour less
        ("30 2 * * *", SUMMER - timedelta(days=1), SUMMER + timedelta(days=2), ["28T01:30", "29T01:00", "30T00:30"]),
        ("0 * * * *", SUMMER, SUMMER + timedelta(hours=3), ["29T00:00", "29T01:00", "29T02:00"]),
        # 02:30 comes twice: the first time counts; hourly ones: both
        ("30 2 * * *", WINTER - timedelta(days=1), WINTER + timedelta(days=2), ["24T00:30", "25T00:30", "26T01:30"]),
        ("0 * * * *", WINTER, WINTER + timedelta(hours=3), ["25T00:00", "25T01:00", "25T02:00"]),
        # the range begins in the hour that comes for the second time
        ("45 2 * * *", WINTER + timedelta(hours=1, minutes=30), WINTER + timedelta(days=1), []),
    ],
)
def test_the_ticks_of_a_range_are_those_of_the_clock_in_berlin(
    cron: str, start: datetime, end: datetime, expected: list[str]
) -> None:
    assert clock(ticks_between(Calendar(cron, BERLIN), start, end)) == expected


def test_a_moment_without_a_zone_is_of_the_calendar() -> None:
    found = ticks_between(Calendar("0 0 * * *", BERLIN), datetime(2026, 3, 29), datetime(2026, 3, 31))  # noqa: DTZ001
    assert clock(found) == ["28T23:00", "29T22:00"]


@given(
    st.sampled_from(["*/20 * * * *", "10,50 2 * * *", "0 */2 * * *", "5 1-3 * * *", "30 2 29 3 *"]),
    st.sampled_from([SUMMER, WINTER]),
    st.lists(st.integers(-600, 1800), min_size=3, max_size=3, unique=True),
)
def test_two_halves_of_a_range_have_the_ticks_of_the_whole(cron: str, day: datetime, minutes: list[int]) -> None:
    first, middle, last = (day + timedelta(minutes=each) for each in sorted(minutes))
    calendar = Calendar(cron, BERLIN)
    whole = ticks_between(calendar, first, last)
    assert ticks_between(calendar, first, middle) + ticks_between(calendar, middle, last) == whole
    assert whole == sorted(set(whole))


def test_a_range_is_bounded_and_ends_after_it_begins() -> None:
    calendar = Calendar("* * * * *")
    assert len(ticks_between(calendar, START, START + timedelta(minutes=MOST))) == MOST
    with pytest.raises(
        NoBackfill, match=r"more than 10,000 ticks\. Divide it: the first 10,000 are before 2026-11-07T22:40"
    ):
        ticks_between(calendar, START, START + timedelta(minutes=MOST + 1))
    with pytest.raises(NoBackfill, match="it has to end later"):
        ticks_between(calendar, START, START)


async def filled(pool: Pool, name: str = "prices", start: datetime = START, end: datetime = END) -> Backfill:
    async with pool.begin() as connection:
        return await backfill(connection, name, start, end, "me")


async def runs(pool: Pool) -> list[Any]:
    async with pool.connection("statement") as connection:
        return list((await connection.execute(sa.select(RUN).order_by(RUN.c.id))).all())


async def test_each_tick_without_a_trigger_gets_a_run_of_its_own_whatever_the_overlap(pool: Pool) -> None:
    for overlap in ("skip", "queue", "cancel"):
        await define(pool, prices={"cron": HOURLY, "overlap": overlap})
        async with pool.begin() as connection:
            await connection.execute(sa.delete(TRIGGER))
            await connection.execute(sa.delete(RUN))
            at = START + timedelta(hours=3)
            payload = {"tick": at.isoformat()}
            await trigger(connection, Trigger("prices", f"calendar {at.isoformat()}", "calendar", "a", payload))
        async with pool.connection("snapshot") as connection:
            seen = await preview(connection, "prices", START, END)
        found = await filled(pool)
        assert (len(found.ticks), found.existing, list(found.ticks)) == (23, 1, list(seen.ticks))
        made = [row for row in await runs(pool) if row.backfill]
        assert [row.id for row in made] == list(found.runs)
        assert [row.payload["tick"] for row in made] == [each.isoformat() for each in found.ticks]
        assert {row.state for row in await runs(pool)} == {"WAITING"}
        again = await filled(pool)
        assert (again.ticks, again.existing, again.runs) == ([], 24, ())


async def test_two_at_once_make_up_for_each_tick_once(pool: Pool) -> None:
    await define(pool, prices={"cron": HOURLY})
    found = await asyncio.gather(*(filled(pool) for _ in range(4)))
    assert sorted(len(each.runs) for each in found) == [0, 0, 0, 24]
    assert len(await runs(pool)) == 24


async def test_the_calendar_does_not_repeat_what_was_made_up_for(pool: Pool) -> None:
    await define(pool, prices={"cron": "* * * * *", "catch_up": 1000})
    async with pool.connection("statement") as connection:
        now = (await connection.execute(sa.select(sa.func.date_trunc("minute", NOW)))).scalar_one()
        await connection.execute(sa.update(TASK).values(next_tick=now - timedelta(minutes=20)))
    found = await filled(pool, start=now - timedelta(minutes=20), end=now)
    assert len(found.runs) == 20
    await Ticking(pool, "a").tick()
    keys = [row.key for row in await runs(pool)]
    assert len(keys) == len(set(keys))
    assert 20 <= len(keys) <= 21  # those that came since are one queued run


async def complete(pool: Pool, run: int) -> None:
    async with pool.begin() as connection:
        held = await hold(connection, run)
        assert held
        await move(connection, held, Move(Event.COMPLETED, "test"))


async def turn(pool: Pool) -> int:
    """The run whose turn it is."""
    async with pool.connection("statement") as connection:
        await turns.give(connection)
        await claim(connection, "a", 10, 60.0)
    (active,) = [row.id for row in await runs(pool) if row.active]
    return active


async def live(pool: Pool, key: str) -> tuple[str, int | None]:
    async with pool.begin() as connection:
        made = await trigger(connection, Trigger("prices", key, "test", "me", {}))
    return made.outcome, made.run


@pytest.mark.parametrize(
    ("overlap", "second"), [("skip", ("skipped", None)), ("queue", ("joined", 5)), ("cancel", ("run", 6))]
)
async def test_the_present_goes_first_and_a_backfill_waits(
    pool: Pool, overlap: str, second: tuple[str, int | None]
) -> None:
    await define(pool, prices={"cron": HOURLY, "overlap": overlap})
    await filled(pool, end=START + timedelta(hours=4))
    assert await turn(pool) == 1
    assert await live(pool, "present") == ("run", 5)
    assert await live(pool, "more") == second
    await complete(pool, 1)
    order = []
    for _ in range(4):
        order.append(await turn(pool))
        await complete(pool, order[-1])
    assert order == [second[1] or 5, 2, 3, 4]


async def test_a_group_is_made_up_for_with_its_tasks_one_run_at_a_time(pool: Pool) -> None:
    await define(pool, prices={}, trades={}, nightly={"tasks": ["prices", "trades"], "cron": HOURLY})
    found = await filled(pool, "nightly", end=START + timedelta(hours=2))
    assert len(found.runs) == 2
    order = []
    for _ in range(12):
        async with pool.connection("statement") as connection:
            await turns.give(connection)
            taken = await claim(connection, "a", 10, 60.0)
            groups = await turns.groups(connection)
        assert len(taken) <= 1
        for each in taken:
            order.append((each.task, each.payload["tick"][11:13]))
            await complete(pool, each.run)
        for run in groups:
            async with pool.begin() as connection:
                await turns.tend(connection, run, "a")
    assert order == [("prices", "00"), ("trades", "00"), ("prices", "01"), ("trades", "01")]
    assert {row.state for row in await runs(pool)} == {"COMPLETED"}


async def test_the_audit_tells_who_made_up_for_what(pool: Pool) -> None:
    await define(pool, prices={"cron": HOURLY})
    await filled(pool, end=START + timedelta(hours=2))
    async with pool.connection("statement") as connection:
        rows = (await connection.execute(sa.select(AUDIT).where(AUDIT.c.who == "me").order_by(AUDIT.c.id))).all()
        sources = set((await connection.execute(sa.select(TRIGGER.c.source))).scalars())
    assert [(row.what, row.subject) for row in rows] == [
        ("triggered (run)", "run 1"),
        ("triggered (run)", "run 2"),
        ("backfilled", "prices"),
    ]
    assert rows[2].reason == "2 ticks from 2026-11-01T00:00:00+00:00 to 2026-11-01T01:00:00+00:00"
    assert sources == {"backfill"}


async def test_what_cannot_be_made_up_for_is_told_and_changes_nothing(pool: Pool) -> None:
    await define(pool, prices={"cron": HOURLY}, loose={})
    with pytest.raises(Unknown, match="there is no task or group 'nobody'"):
        await filled(pool, "nobody")
    with pytest.raises(NoBackfill, match="'loose' has no calendar"):
        await filled(pool, "loose")
    async with pool.connection("statement") as connection:
        later = (await connection.execute(sa.select(NOW + interval(7200)))).scalar_one()
    with pytest.raises(NoBackfill, match="the range is not over"):
        await filled(pool, start=later - timedelta(hours=4), end=later)
    assert await runs(pool) == []


async def test_the_largest_backfill_is_one_transaction(pool: Pool) -> None:
    await define(pool, prices={"cron": "* * * * *"})
    found = await filled(pool, end=START + timedelta(minutes=MOST))
    assert len(found.runs) == MOST
    assert list(found.runs) == sorted(found.runs)
    rows = await runs(pool)
    assert [row.payload["tick"] for row in rows] == sorted(row.payload["tick"] for row in rows)


@pytest.fixture
def world(world: World) -> World:
    world.define('[task.prices]\nconsumers = ["http://127.0.0.1:9/"]\ncron = "0 2 * * *"\nzone = "Europe/Berlin"\n')
    return world


@pytest.mark.long
async def test_the_command_shows_asks_and_triggers(world: World) -> None:
    span = ("prices", "--from", "2026-10-24", "--to", "2026-10-27")
    shown = world.snk("backfill", *span, "--dry-run")
    assert (shown.returncode, await world.runs()) == (1, [])
    told = (
        "prices: 3 ticks of '0 2 * * *' in Europe/Berlin, from 2026-10-24T00:00:00+00:00 to 2026-10-26T01:00:00+00:00"
    )
    assert shown.stdout.splitlines() == [told]
    refused = world.snk("backfill", *span, given="n\n")
    assert (refused.returncode, await world.runs()) == (1, [])
    assert refused.stdout.endswith("\nnothing was changed\n")
    unasked = world.snk("backfill", *span)
    assert (unasked.returncode, await world.runs()) == (1, [])
    assert unasked.stdout.endswith("\nnot changed: nobody answered; --yes answers\n")
    done = world.snk("backfill", *span, given="d\ny\n")
    assert (done.returncode, "3 runs queued: 1 to 3" in done.stdout) == (0, True)
    assert "2026-10-25T00:00:00+00:00" in done.stdout
    again = world.snk("backfill", *span, "--yes", "--json")
    assert (again.returncode, json.loads(again.stdout)) == (
        0,
        {"name": "prices", "ticks": [], "existing": 3, "runs": []},
    )
    wrong = world.snk("backfill", "prices", "--from", "yesterday", "--to", "2026-10-27")
    assert (wrong.returncode, "--from is 'yesterday', which is no time. Write it as" in wrong.stderr) == (2, True)
    assert len(await world.runs()) == 3
