"""A service with an empty database and an empty Redis."""

from collections.abc import AsyncIterator, Iterator

import pytest

from snk.pair.servers import EmbeddedPair
from tests.conftest import names, psql
from tests.kit.assignments import World
from tests.kit.assignments import world as made


@pytest.fixture
def database(servers: EmbeddedPair) -> Iterator[str]:
    """The URL of an empty database."""
    name = next(names)
    psql(servers.first, f"create database {name}")
    yield servers.first.dsn.removesuffix("postgres") + name
    psql(servers.first, f"drop database {name} with (force)")


@pytest.fixture
async def world(database: str, servers: EmbeddedPair) -> AsyncIterator[World]:
    """The four tables, and a Redis."""
    async with made(database, servers.redis.dsn) as here:
        await here.redis.flushall()
        yield here
