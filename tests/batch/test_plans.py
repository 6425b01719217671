"""Looks cost no more when there are many runs and many tasks: each question is answered by an index."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from snk.batch.channels import Kind
from snk.batch.platform import alerts, claims, looking, messaging, resolving, stops, triggering, turns
from snk.batch.platform.moves import Unknown
from snk.batch.platform.tables import TABLES
from snk.batch.platform.ticking import Ticking
from snk.db.pool import Pool
from snk.db.server import Server
from snk.pair.servers import EmbeddedPair
from tests.kit.serve import fresh_database

FILL = """
insert into snk_batch.task (name, kind, definition, next_tick)
    select 'task' || n, 'task', '{"consumers": ["http://a/"]}', now() + interval '1 hour' + n * interval '1 second'
    from generate_series(1, 10000) n;
insert into snk_batch.run (task, key, payload, state, ended_at)
    select 'task1', n::text, '{}', 'COMPLETED', now() from generate_series(1, 50000) n;
insert into snk_batch.run (task, key, payload, state, ended_at)
    select 'task' || n, 'e', '{}', 'COMPLETED', now() from generate_series(1, 10000) n;
insert into snk_batch.run (task, key, payload, state, active, due_at)
    select 'task' || n, 'a', '{}', 'RUNNING', true, now() + interval '1 hour' from generate_series(1, 10000) n;
insert into snk_batch.run (task, key, payload, state)
    select 'task' || n, 'q', '{}', 'WAITING' from generate_series(1, 10000) n;
insert into snk_batch.run (task, key, payload, state, ended_at)
    select 'task2', 'f' || n, '{}', 'FAILED', now() from generate_series(1, 10) n;
insert into snk_batch.stop (run, fence, told_at) select id, 1, now() from snk_batch.run where state = 'COMPLETED';
"""


@pytest.fixture(scope="module")
async def filled(servers: EmbeddedPair) -> AsyncIterator[Pool]:
    """A platform with 10,000 tasks, each with runs."""
    with fresh_database(servers) as dsn:
        await TABLES.upgrade(Server("database", dsn))
        pool = Pool(dsn, 2, 30.0, "tests")
        for statement in (*FILL.split(";")[:-1], "vacuum analyze"):
            async with pool.connection("statement") as connection:
                await connection.exec_driver_sql(statement)
        yield pool
        await pool.close()


async def plans(pool: Pool, do: Callable[[Pool], Awaitable[Any]]) -> str:
    """The plans of the statements that a function executes."""
    found: list[str] = []

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if re.match(r"(select|with|update)\b.*\bsnk_batch\.", statement, re.IGNORECASE | re.DOTALL):
            cursor.execute(f"explain (costs off) {statement}", parameters)
            found.append("\n".join(row[0] for row in cursor.fetchall()))

    engine = pool._engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", explain)
    try:
        await do(pool)
    finally:
        sa.event.remove(engine, "before_cursor_execute", explain)
    return "\n".join(found)


async def claim(pool: Pool) -> None:
    async with pool.connection("statement") as connection:
        assert await claims.claim(connection, "a", 10, 60.0) == []


async def stop(pool: Pool) -> None:
    async with pool.connection("statement") as connection:
        assert await stops.take(connection, 50) == []


async def give(pool: Pool) -> None:
    async with pool.connection("statement") as connection:
        assert await turns.give(connection) == 0


async def overdue(pool: Pool) -> None:
    async with pool.connection("statement") as connection:
        assert await turns.overdue(connection) == []


async def groups(pool: Pool) -> None:
    async with pool.connection("statement") as connection:
        assert await turns.groups(connection) == []


async def tick(pool: Pool) -> None:
    assert await Ticking(pool, "a").tick() == 0


async def trigger(pool: Pool) -> None:
    async with pool.begin() as connection:
        await triggering.trigger(connection, triggering.Trigger("task1", "again", "test", "me", {}))


async def message(pool: Pool) -> None:
    async with pool.connection("statement") as connection:
        with pytest.raises(Unknown):
            await messaging.deliver(connection, messaging.Message("some.message", "1", "test", "me", {}))


async def failed(pool: Pool) -> None:
    async with pool.connection("snapshot") as connection:
        assert len(await looking.runs(connection, None, ["FAILED"], looking.Part(20))) == 10


async def resolve(pool: Pool) -> None:
    async with pool.begin() as connection:
        await alerts.found(connection, alerts.Cause(Kind.UNREACHABLE, "task task1", "x", "task1", 1))
    await resolving.sweep(pool)


@pytest.mark.long
@pytest.mark.parametrize(
    ("do", "expected"),
    [
        (claim, r"run_due on run.*\n +Index Cond: \(due_at <= statement_timestamp\(\)\)"),
        (stop, r"stop_due on stop.*\n +Index Cond: \(due_at <= statement_timestamp\(\)\)"),
        (overdue, r"run_deadline on run.*\n +Index Cond: \(deadline_at <= statement_timestamp\(\)\)"),
        (tick, r"task_tick on task\n +Index Cond: \(next_tick <= statement_timestamp\(\)\)"),
        (groups, "run_group on run"),
        (give, "run_queued on run"),
        (trigger, r"run_live( on run)?\n +Index Cond: \(task = "),
        (message, "task_message on task"),
        (failed, "run_state on run"),
        (resolve, "run_ended on run"),
    ],
)
async def test_each_look_finds_what_it_wants_by_an_index(
    filled: Pool, do: Callable[[Pool], Awaitable[None]], expected: str
) -> None:
    found = await plans(filled, do)
    assert re.search(expected, found), found
    assert "Seq Scan on run" not in found
    assert "Seq Scan on task" not in found
