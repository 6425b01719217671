"""A service on an empty table."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from snk.pair.servers import EmbeddedPair
from tests.kit.databases import Database
from tests.kit.serve import Connect, ServeProcess, connecting, fresh_database, prepared


@pytest.fixture
def dsn(servers: EmbeddedPair) -> Iterator[str]:
    """An empty database."""
    with fresh_database(servers) as made:
        yield made


@pytest.fixture(scope="module")
async def shared(servers: EmbeddedPair) -> AsyncIterator[tuple[Database, ServeProcess]]:
    """A database with the table ``records``, and a service of it that everybody may use, for all tests of a module."""
    with fresh_database(servers) as made:
        database = await prepared(made)
        with ServeProcess(made) as process:
            yield database, process


@pytest.fixture
async def records(shared: tuple[Database, ServeProcess]) -> Database:
    """The database, whose table is empty."""
    await shared[0].run("truncate records, snk.serve_keys")
    return shared[0]


@pytest.fixture
async def service(shared: tuple[Database, ServeProcess], records: Database) -> ServeProcess:  # noqa: ARG001 - emptied
    """The service of this table."""
    await shared[1].until_answering()
    return shared[1]


@pytest.fixture
async def client(service: ServeProcess) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of it."""
    async with aiohttp.ClientSession(service.url) as session:
        yield session


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes connections on which a test says what it likes."""
    async with connecting() as made:
        yield made
