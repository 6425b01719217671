"""One wait in the server for all tables: who is woken, by what, and by nothing else."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from snk.db.server import Server
from snk.pair.sync import drawn, exactly, watch
from snk.pair.sync.link import lender_of
from snk.pair.sync.prepare import prepare
from snk.pair.sync.watch import Sleeper, Watch
from snk.pair.table.commits import Ids
from tests.kit.databases import Database, until

TABLE = "create table {} (id bigserial primary key, uuid uuid not null unique default gen_random_uuid())"


class Watched:
    """A watch that runs, and a sleeper for each of some tables."""

    def __init__(self, database: Database, watch: Watch) -> None:
        self.database = database
        self.watch = watch
        self.sleepers: dict[str, Sleeper] = {}

    async def add(self, *names: str, drawn: bool = False) -> None:
        """Have tables watched, by their sequences if these tell what is ``drawn``."""
        for name in names:
            oid, sequence = (
                await self.database.rows(
                    f"select '{name}'::regclass::oid::bigint,"
                    f" pg_get_serial_sequence('{name}', 'id')::regclass::oid::bigint"
                )
            )[0]
            ids = Ids(oid, "public", name, "id", sequence if drawn else None)
            self.sleepers[name] = Sleeper(ids, 0, asyncio.Event())

    async def end_something(self) -> None:
        """Have a transaction end, and wait until the watch has seen to it."""
        await self.database.run("insert into bell default values")
        await self.until_woken("bell")
        self.sleepers["bell"].news.clear()

    @property
    def woken(self) -> set[str]:
        return {name for name, sleeper in self.sleepers.items() if sleeper.news.is_set()}

    async def until_woken(self, *names: str) -> None:
        async def woken() -> bool:
            return self.woken >= set(names)

        await until(woken, f"{names} to be woken")


@asynccontextmanager
async def watching(dsn: str, *tables: str, drawn: bool = False) -> AsyncIterator[Watched]:
    database, stop = Database(dsn), asyncio.Event()
    await prepare(Server("first", dsn), ())
    tables = (*tables, "bell")
    await database.run(*map(TABLE.format, tables))
    server = Server("first", dsn)
    watched = Watched(database, Watch(server, lender_of(server, 1), 0.005))
    await watched.add(*tables[:-1], drawn=drawn)
    await watched.add("bell")
    running = asyncio.create_task(watched.watch.run(stop))
    asleep = ExitStack()
    for sleeper in watched.sleepers.values():
        asleep.enter_context(watched.watch.asleep(sleeper))

    async def silent() -> bool:
        return watched.watch.silent_seconds == 0.0

    await until(silent, "the watch to begin")
    try:
        yield watched
    finally:
        stop.set()
        await running


async def test_a_row_wakes_the_flow_of_its_table_and_no_other(pair: Any) -> None:
    names = [f"t{at}" for at in range(60)]
    async with watching(pair.first, *names) as watched:
        await watched.database.run("insert into t55 default values")
        await watched.until_woken("t55")
        await watched.database.run("insert into t7 default values")
        await watched.until_woken("t7")
        assert watched.woken == {"t55", "t7"}


async def test_a_row_wakes_when_its_transaction_ends_and_not_before(pair: Any) -> None:
    async with watching(pair.first, "t", "u") as watched, watched.database.connect() as held:
        await held.exec_driver_sql("insert into t default values")
        await watched.database.run("insert into u default values")
        await watched.until_woken("u")
        assert watched.woken == {"u"}
        await held.commit()
        await watched.until_woken("t")


async def test_a_prepared_transaction_wakes_when_it_is_committed(pair: Any) -> None:
    async with watching(pair.first, "t", "u") as watched:
        await watched.database.run("begin", "insert into u default values")
        async with watched.database.connect() as held:
            await held.exec_driver_sql("insert into t default values")
            await held.exec_driver_sql("prepare transaction 'x'")
        await watched.database.run("insert into u default values")
        await watched.until_woken("u")
        assert watched.woken == {"u"}
        async with watched.database.connect() as other:
            autocommitting = await other.execution_options(isolation_level="AUTOCOMMIT")
            await autocommitting.exec_driver_sql("commit prepared 'x'")
        await watched.until_woken("t")


@pytest.mark.parametrize("how", ["lock table t3", "drop table t3", "alter table t3 rename id to other"])
async def test_a_table_that_cannot_be_looked_at_wakes_its_flow_and_keeps_no_other(pair: Any, how: str) -> None:
    async with watching(pair.first, *(f"t{at}" for at in range(8))) as watched, watched.database.connect() as held:
        await held.exec_driver_sql(how)
        if not how.startswith("lock"):
            await held.commit()
        await watched.database.run("insert into t5 default values")
        await watched.until_woken("t3", "t5")
        for sleeper in watched.sleepers.values():
            sleeper.news.clear()
        await watched.database.run("insert into t6 default values")
        await watched.until_woken("t6")


async def test_whoever_cuts_the_connection_wakes_all(pair: Any) -> None:
    async with watching(pair.first, "t", "u") as watched:
        before = watched.watch.changes
        await watched.database.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'snk' and datname = current_database()"
        )
        await watched.until_woken("t", "u")
        assert watched.watch.changes > before
        await watched.database.run("insert into t default values")
        watched.sleepers["t"].news.clear()
        await watched.until_woken("t")


async def test_in_a_quiet_server_nothing_changes(pair: Any) -> None:
    async with watching(pair.first, "t") as watched:
        await watched.database.run("insert into t default values")
        await watched.until_woken("t")
        before = watched.watch.changes
        for _ in range(20):
            await watched.database.value("select count(*) from t")
        assert watched.watch.changes <= before + 1  # the server itself may have ended something


async def test_a_row_whose_transaction_goes_on_wakes_again_when_it_ends(pair: Any) -> None:
    """Its id is drawn before: the flow looks at once, in vain, and has to be woken once more."""
    async with watching(pair.first, "t", drawn=True) as watched, watched.database.connect() as held:
        await held.exec_driver_sql("insert into t default values")
        await watched.end_something()
        await watched.until_woken("t")
        watched.sleepers["t"].news.clear()
        for _ in range(3):
            await watched.end_something()
            assert watched.woken == set()
        await held.commit()
        await watched.until_woken("t")


async def test_ids_that_were_drawn_for_nothing_wake_once(pair: Any) -> None:
    async with watching(pair.first, "t", drawn=True) as watched:
        async with watched.database.connect() as undone:
            await undone.exec_driver_sql("insert into t default values")
            await undone.rollback()
        await watched.end_something()
        await watched.until_woken("t")
        watched.sleepers["t"].news.clear()
        for _ in range(3):
            await watched.end_something()
            assert watched.woken == set()


async def test_ids_that_are_set_by_hand_wake_too_and_from_then_on_at_once(pair: Any) -> None:
    async with watching(pair.first, *(f"t{at}" for at in range(30)), drawn=True) as watched:
        await watched.database.run("insert into t29 (id) values (1000)")
        await watched.until_woken("t29")
        assert watched.woken == {"t29"}

        async def known() -> bool:
            return watched.sleepers["t29"].ids.oid in watched.watch._by_hand

        await until(known, "the table to be known for such ids")
        watched.sleepers["t29"].high = 1000
        watched.sleepers["t29"].news.clear()
        await watched.database.run("insert into t29 (id) values (1001)")
        await watched.until_woken("t29")


async def test_a_row_that_comes_while_its_table_is_locked_wakes_though_nothing_happens_after_it(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table cannot be looked at when the row is committed, and so has to be looked at again."""
    monkeypatch.setattr(exactly, "ASIDE_SECONDS", 2.0)
    async with watching(pair.first, "t") as watched, watched.database.connect() as locking:
        await locking.exec_driver_sql("lock table t")
        await watched.end_something()
        await watched.until_woken("t")  # for it cannot be told
        watched.sleepers["t"].news.clear()
        await locking.exec_driver_sql("insert into t default values")
        await locking.commit()
        await watched.until_woken("t")


async def test_a_sequence_that_is_locked_keeps_no_row_back(pair: Any) -> None:
    async with watching(pair.first, "t", "u", drawn=True) as watched, watched.database.connect() as held:
        await held.exec_driver_sql("lock table t in access share mode")
        await held.exec_driver_sql("alter sequence t_id_seq cache 2")
        await watched.database.run("insert into u default values")
        await watched.until_woken("u")


async def test_a_lock_says_nothing_of_ids_that_are_set_by_hand(pair: Any) -> None:
    """Tables whose ids are set by hand are always asked about, which is dear for all."""
    names = [f"t{at}" for at in range(20)]
    async with watching(pair.first, *names, drawn=True) as watched, watched.database.connect() as locking:
        await locking.exec_driver_sql(f"lock table {', '.join(names[:10])}")
        await watched.end_something()
        await watched.until_woken(*names[:10])
        assert watched.watch._by_hand == set()


async def test_groups_that_were_halved_are_made_anew(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactly, "ASIDE_SECONDS", 0.5)
    names = [f"t{at}" for at in range(20)]
    async with watching(pair.first, *names, drawn=True) as watched:

        def groups() -> int:
            return len(set(watched.watch._exactly._groups.values()))

        async def halved() -> bool:
            await watched.end_something()
            return groups() > 10

        async def anew() -> bool:
            await watched.end_something()
            return groups() < 5

        async with watched.database.connect() as locking:
            await locking.exec_driver_sql(f"lock table {', '.join(names)}")
            await until(halved, "groups to be halved")
        await until(anew, "larger groups")


async def test_a_row_with_an_id_set_by_hand_wakes_a_flow_that_begins_after_it(pair: Any) -> None:
    async with watching(pair.first, "t", "u", drawn=True) as watched:
        sleeper = watched.sleepers["t"]
        del watched.watch._sleepers[sleeper.ids]
        await watched.database.run("insert into t (id) values (1000)")
        for _ in range(3):
            await watched.end_something()

        async def all_asked() -> bool:
            return not watched.watch._turns and watched.watch._turns_of == watched.watch.changes

        await until(all_asked, "nothing to be left to look at")
        with watched.watch.asleep(sleeper):
            await watched.until_woken("t")


async def test_tables_whose_ids_were_drawn_in_vain_are_soon_asked_about_no_more(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "WHILE_SECONDS", 0.0)
    async with watching(pair.first, "t", drawn=True) as watched, watched.database.connect() as undone:
        await undone.exec_driver_sql("insert into t default values")
        await watched.end_something()
        await watched.until_woken("t")
        watched.sleepers["t"].news.clear()
        await undone.rollback()

        async def vain() -> bool:
            await watched.end_something()
            return watched.watch._drawn.is_vain(watched.sleepers["t"].ids)

        await until(vain, "the id to be known as drawn in vain")
        assert watched.woken == set()
        await watched.database.run("insert into t default values")
        await watched.until_woken("t")


async def test_a_flow_that_sleeps_again_and_again_is_woken_for_each_row(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is awake for a moment after each row, and the next one is committed before, in or after that moment."""
    monkeypatch.setattr(watch, "TURN_SECONDS", float("inf"))  # asking about all in turn would find them, too, but later
    rows, read = 200, asyncio.Condition()
    async with watching(pair.first, "t", drawn=True) as watched, watched.database.connect() as looking:
        sleeper = watched.sleepers["t"]
        watched.watch.forget(sleeper)

        async def flow() -> None:
            while sleeper.high < rows:
                with watched.watch.asleep(sleeper):
                    while sleeper.high < rows:
                        sleeper.news.clear()
                        found = await looking.exec_driver_sql("select coalesce(max(id), 0) from t")
                        await looking.rollback()
                        before, sleeper.high = sleeper.high, found.scalar_one()
                        async with read:
                            read.notify_all()
                        if sleeper.high > before:
                            break
                        await sleeper.news.wait()
                await asyncio.sleep(random.choice((0.0, 0.001, 0.003)))

        flowing = asyncio.create_task(flow())
        for number in range(1, rows + 1):
            await watched.database.run("insert into t default values")
            async with read, asyncio.timeout(20):
                await read.wait_for(lambda: sleeper.high >= number)  # noqa: B023 - awaited at once
            await asyncio.sleep(random.choice((0.0, 0.001, 0.003)))
        await flowing


async def test_nobody_asks_a_server_whose_flows_are_all_awake(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "NOBODY_SECONDS", 20.0)
    async with watching(pair.first, "t") as watched:
        for sleeper in watched.sleepers.values():
            sleeper.asleep = False
        await watched.database.run("insert into t default values")
        before = watched.watch.changes
        for _ in range(5):
            await watched.database.run("insert into t default values")
            await asyncio.sleep(0.02)
        assert watched.watch.changes <= before + 1
        watched.sleepers["t"].news.clear()  # the wait that was under way may have found it
        with watched.watch.asleep(watched.sleepers["t"]):
            await watched.until_woken("t")
        watched.sleepers["bell"].asleep = True  # or the watch would be at rest when it is told to stop


async def test_a_flow_that_reads_on_meanwhile_has_no_ids_that_were_set_by_hand(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question whether there are rows and the one what was drawn, it has read them."""
    ask, asked = exactly.Exactly.ask, list[int]()
    async with watching(pair.first, "t", drawn=True) as watched:

        async def reading_on(self: exactly.Exactly, *given: Any) -> exactly.Told:
            told = await ask(self, *given)
            if (sleeper := watched.sleepers["t"]).ids in told.rows:
                sleeper.high = await watched.database.value("select max(id) from t")
                asked.append(sleeper.high)
            return told

        monkeypatch.setattr(exactly.Exactly, "ask", reading_on)
        monkeypatch.setattr(drawn.Drawn, "is_news", lambda *_: True)  # so that nobody asks but in turn

        async def found_in_turn() -> bool:
            await watched.database.run("insert into t default values")
            await watched.end_something()
            return len(asked) > 2

        await until(found_in_turn, "rows to be found when all are asked in turn")
        assert watched.watch._by_hand == set()
