"""Connections that many share: their number, who is next, and which boot they are of."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.catalog import ServerFacts
from snk.db.lender import Lender, Lent
from snk.db.server import Server
from snk.errors import ParentMissing, RowRefused, Unavailable
from tests.kit.databases import Database, until

OURS = "from pg_stat_activity where application_name = 'snk' and datname = current_database()"
PID = sa.select(sa.func.pg_backend_pid())


async def nothing(_: AsyncConnection) -> None:
    """Set nothing up."""


@pytest.fixture
async def lender(pair: Any) -> AsyncIterator[Lender]:
    """Two connections."""
    made = Lender(Server("first", pair.first), 2, nothing)
    yield made
    await made.close()


async def pid_of(access: Lent) -> int:
    async with access.using() as connection:
        return int((await connection.execute(PID)).scalar_one())


async def test_there_are_never_more_connections_than_agreed_and_all_are_served(lender: Lender, pair: Any) -> None:
    accesses = [await Lent.of(lender) for _ in range(30)]
    pids = await asyncio.gather(*map(pid_of, accesses))
    assert len(set(pids)) <= 2
    assert await Database(pair.first).value(f"select count(*) {OURS}") <= 2


async def test_whoever_was_served_longest_ago_is_next(lender: Lender) -> None:
    names = ("first", "second", "third")
    accesses = {name: await Lent.of(lender) for name in names}
    for name in names:
        await pid_of(accesses[name])
    served: list[str] = []

    async def ask(name: str) -> None:
        async with accesses[name].using():
            served.append(name)

    one, other = await Lent.of(lender), await Lent.of(lender)
    async with one.using(), other.using():
        waiting = [asyncio.create_task(ask(name)) for name in reversed(names)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert served == list(names)


async def test_those_who_come_for_the_first_time_keep_nobody_waiting_for_ever(lender: Lender) -> None:
    """A flow whose table is locked begins again and again."""
    access = await Lent.of(lender)
    stop = asyncio.Event()

    async def begin_again_and_again() -> None:
        while not stop.is_set():
            async with lender.lend():
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(begin_again_and_again())
        for _ in range(20):
            await pid_of(access)
        stop.set()


async def test_one_who_gives_up_while_waiting_takes_nothing(lender: Lender) -> None:
    accesses = [await Lent.of(lender) for _ in range(3)]
    for _ in range(5):
        async with accesses[0].using(), accesses[1].using():
            waiting = asyncio.create_task(pid_of(accesses[2]))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
    async with accesses[0].using(), accesses[1].using():
        pass
    assert await pid_of(accesses[2])


async def undone(access: Lent, error: Exception) -> None:
    async with access.transaction() as connection:
        await connection.execute(PID)
        raise error


async def test_after_an_error_a_connection_is_kept_only_if_it_is_known_to_be_whole(lender: Lender) -> None:
    access = await Lent.of(lender)
    before = await pid_of(access)
    with pytest.raises(ParentMissing):
        await undone(access, ParentMissing("x"))
    assert await pid_of(access) == before
    with pytest.raises(RuntimeError):
        await undone(access, RuntimeError("x"))
    assert await pid_of(access) != before


async def test_a_statement_that_is_refused_costs_no_connection(lender: Lender) -> None:
    access = await Lent.of(lender)
    before = await pid_of(access)
    with pytest.raises(RowRefused):
        async with access.using() as connection:
            await connection.execute(sa.text("select 1 / 0"))
    assert await pid_of(access) == before


async def test_a_statement_that_is_cancelled_costs_its_connection(lender: Lender, pair: Any) -> None:
    access = await Lent.of(lender)
    before = await pid_of(access)

    async def hang() -> None:
        async with access.using() as connection:
            await connection.execute(sa.text("select pg_sleep(600)"))

    async def hanging() -> Any:
        return await Database(pair.first).value(f"select count(*) {OURS} and wait_event = 'PgSleep'")

    hung = asyncio.create_task(hang())
    await until(hanging, "the statement to begin")
    hung.cancel()
    await asyncio.gather(hung, return_exceptions=True)
    assert await pid_of(access) != before


async def test_what_was_learnt_in_another_boot_is_refused(lender: Lender) -> None:
    access = await Lent.of(lender)
    old = Lent(lender, replace(access.facts, boot="another"))
    with pytest.raises(Unavailable, match="it has been restarted"):
        await pid_of(old)
    assert await pid_of(access)


async def test_a_connection_of_an_earlier_boot_is_not_lent(lender: Lender, pair: Any) -> None:
    access = await Lent.of(lender)
    before = await pid_of(access)
    (kept,) = lender._free
    lender._free[:] = [replace(kept, facts=replace(kept.facts, boot="earlier"))]
    assert await pid_of(access) != before
    assert await Database(pair.first).value(f"select count(*) {OURS}") == 1


async def test_a_lost_connection_is_replaced(lender: Lender, pair: Any) -> None:
    access = await Lent.of(lender)
    await pid_of(access)
    await Database(pair.first).rows(f"select pg_terminate_backend(pid) {OURS}")
    with pytest.raises(Unavailable):
        await pid_of(access)
    assert await pid_of(access)


async def test_what_was_learnt_of_a_standby_is_not_believed_later(
    lender: Lender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promotion ends no connection."""
    facts = (await Lent.of(lender)).facts

    async def standby(_: AsyncConnection) -> ServerFacts:
        return replace(facts, standby=True, boot="standby")

    await lender.close()
    with monkeypatch.context() as patched:
        patched.setattr("snk.db.catalog.server_facts", standby)
        assert (await Lent.of(lender)).facts.standby
    assert not (await Lent.of(lender)).facts.standby


async def test_those_who_know_an_earlier_boot_cost_no_connection(lender: Lender, pair: Any) -> None:
    access = await Lent.of(lender)
    before = await pid_of(access)
    stale = [Lent(lender, replace(access.facts, boot="earlier")) for _ in range(20)]
    found = await asyncio.gather(*map(pid_of, stale), return_exceptions=True)
    assert {type(each) for each in found} == {Unavailable}
    assert before in [await pid_of(access) for _ in range(2)]
    assert await Database(pair.first).value(f"select count(*) {OURS}") <= 2


async def test_backends_of_two_boots_may_have_one_number(lender: Lender) -> None:
    async with lender.lend() as kept:
        one, other = lender.interruptible(kept), lender.interruptible(kept)
        with one:
            other.__enter__()
        other.__exit__(None, None, None)
