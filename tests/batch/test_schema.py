"""The migrations make the tables that the code expects."""

from collections.abc import Callable
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from snk.batch.consumer import tables as consumer
from snk.batch.platform import tables as platform
from snk.batch.schema import Schema
from snk.db.pool import Pool
from snk.db.server import Server
from snk.pair.servers import EmbeddedPair
from tests.kit.serve import fresh_database


def differences(schema: Schema) -> Callable[[sa.Connection], list[object]]:
    """What compares the tables of a database with those of the code."""
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _: kind != "schema" or name == schema.name,
        "version_table_schema": schema.name,
        "compare_type": True,
        "compare_server_default": True,
    }
    return lambda sync: list(compare_metadata(MigrationContext.configure(sync, opts=options), schema.metadata))


@pytest.mark.parametrize("schema", [platform.TABLES, consumer.TABLES], ids=["platform", "consumer"])
async def test_the_migrations_make_the_tables_of_the_code(schema: Schema, servers: EmbeddedPair) -> None:
    with fresh_database(servers) as dsn:
        server = Server("database", dsn)
        assert await schema.upgrade(server)
        assert not await schema.upgrade(server)
        async with server.connect() as connection:
            assert await connection.run_sync(differences(schema)) == []


async def test_runs_that_a_consumer_noted_before_keep_their_numbers_and_files(servers: EmbeddedPair) -> None:
    with fresh_database(servers) as dsn:
        server = Server("database", dsn)
        async with server.begin() as connection:
            await connection.run_sync(lambda sync: command.upgrade(consumer.TABLES._config(connection=sync), "0001"))
            for table, columns, values in (
                ("run", "id, task, fence, since, payload, callback", "17, 'prices', 2, 1, '{}', ''"),
                ("file", "run, name, definition", "17, 'trades', '{}'"),
            ):
                insert = f"insert into snk_batch_consumer.{table} ({columns}) values ({values})"
                await connection.exec_driver_sql(insert)
        assert await consumer.TABLES.upgrade(server)
        async with server.begin() as connection:
            kept = sa.select(consumer.RUN.c.number, consumer.FILE.c.name).join_from(consumer.RUN, consumer.FILE)
            assert (await connection.execute(kept)).one() == (17, "trades")
            new = {"uid": uuid4(), "number": 1, "task": "prices", "fence": 1, "since": 1, "payload": {}, "callback": ""}
            added = sa.insert(consumer.RUN).values(new).returning(consumer.RUN.c.id)
            assert (await connection.execute(added)).scalar_one() == 18


async def test_runs_that_were_noted_before_runs_had_names_are_ended(servers: EmbeddedPair) -> None:
    """They are worked on by nobody: their platform has had them noted again. The others go on."""
    columns = "uid, number, task, fence, since, payload, state, callback"
    with fresh_database(servers) as dsn:
        server = Server("database", dsn)
        async with server.begin() as connection:
            await connection.run_sync(lambda sync: command.upgrade(consumer.TABLES._config(connection=sync), "0002"))
            for number, state, callback in (
                (1, "RUNNING", "http://one.example/v1/runs/1/callback"),
                (2, "RUNNING", "http://one.example/v1/runs/2/callback?uid=x"),
                (3, "RUNNING", ""),
                (4, "COMPLETED", "http://one.example/v1/runs/4/callback"),
            ):
                values = f"gen_random_uuid(), {number}, 'prices', 2, 1, '{{}}', '{state}', '{callback}'"
                await connection.exec_driver_sql(f"insert into snk_batch_consumer.run ({columns}) values ({values})")
            await connection.exec_driver_sql(
                "insert into snk_batch_consumer.file (run, name, definition, state)"
                " select id, 'a', '{}', state from snk_batch_consumer.run"
            )
        assert await consumer.TABLES.upgrade(server)
        async with server.begin() as connection:
            found = sa.select(consumer.RUN.c.state, consumer.RUN.c.attempt, consumer.FILE.c.state)
            ordered = found.join_from(consumer.RUN, consumer.FILE).order_by(consumer.RUN.c.number)
            assert [tuple(row) for row in await connection.execute(ordered)] == [
                ("CANCELLED", 1, "CANCELLED"),
                ("RUNNING", 0, "RUNNING"),
                ("RUNNING", 0, "RUNNING"),
                ("COMPLETED", 0, "COMPLETED"),
            ]


@pytest.mark.parametrize("change", ["alter table snk_batch.alert drop column note", "drop index snk_batch.notice_due"])
async def test_a_difference_is_found(pool: Pool, change: str) -> None:
    async with pool.connection("write") as connection:
        await connection.exec_driver_sql(change)
        assert await connection.run_sync(differences(platform.TABLES))
        await connection.rollback()
