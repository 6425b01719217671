"""The platform's tables on an empty database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from snk.batch.changes import Change
from snk.batch.platform import defining, tables
from snk.db.pool import Pool
from snk.db.server import Server
from snk.pair.servers import EmbeddedPair
from tests.kit.batch import World
from tests.kit.serve import fresh_database

TABLES = "task, trigger, run, file, stop, attempt, node, audit, alert, notice, channel"


@pytest.fixture(scope="module")
async def made(servers: EmbeddedPair) -> AsyncIterator[str]:
    """A database with the tables, for all tests of a module."""
    with fresh_database(servers) as dsn:
        assert await tables.TABLES.upgrade(Server("database", dsn))
        yield dsn


@pytest.fixture
async def pool(made: str) -> AsyncIterator[Pool]:
    """Connections to it; the tables are empty."""
    pool = Pool(made, 10, 30.0, "tests")
    async with pool.connection("statement") as connection:
        listed = ", ".join(f"snk_batch.{name}" for name in TABLES.split(", "))
        await connection.exec_driver_sql(f"truncate {listed} restart identity")
    yield pool
    await pool.close()


@pytest.fixture
async def world(tmp_path: Path, servers: EmbeddedPair) -> AsyncIterator[World]:
    """A platform on a database of its own, with the settings of the kit; its nodes are gone at the end."""
    with fresh_database(servers) as dsn:
        await tables.TABLES.upgrade(Server("database", dsn))
        made = World(tmp_path, dsn)
        made.configure()
        try:
            yield made
        finally:
            made.end()


async def define(pool: Pool, **definitions: dict[str, object]) -> None:
    """Make tasks and groups; what has ``tasks`` is a group."""
    async with pool.begin() as connection:
        for name, each in definitions.items():
            kind = "group" if "tasks" in each else "task"
            given = each if kind == "group" else {"consumers": ["http://127.0.0.1:9/"], **each}
            await defining.apply(connection, [Change(kind, name, None, given)], "tests")  # type: ignore[arg-type]
