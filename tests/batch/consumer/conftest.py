"""A provider for all tests of a module, and for each test a consumer with a database of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snk.batch.consumer.tables import TABLES
from snk.db.server import Server
from snk.pair.servers import EmbeddedPair
from tests.kit.consumer import FILL, TRADES, Callbacks, ConsumerProcess, Front, dataset, options
from tests.kit.databases import Database
from tests.kit.serve import ServeProcess, fresh_database
from tests.kit.working import Room

NAMES = [f"t{number}" for number in range(5)]
COUNT = 250


@dataclass
class Provider:
    """A provider with five datasets, each with so many records."""

    database: Database
    url: str


@pytest.fixture(scope="module")
async def provided(servers: EmbeddedPair) -> AsyncIterator[Provider]:
    with fresh_database(servers) as dsn:
        database = Database(dsn)
        for name in NAMES:
            await database.run(TRADES.format(name=name), f"create index on {name} (created_at)")
        with ServeProcess(dsn, {name: dataset(name) for name in NAMES}) as process:
            await process.until_answering()
            yield Provider(database, process.url)


@pytest.fixture
async def provider(provided: Provider) -> Provider:
    for name in NAMES:
        await provided.database.run(f"truncate {name}", FILL.format(name=name, count=COUNT))
    return provided


@pytest.fixture
async def front(provider: Provider) -> AsyncIterator[Front]:
    async with Front(provider.url) as made:
        yield made


@pytest.fixture
async def database(servers: EmbeddedPair) -> AsyncIterator[Database]:
    """The consumer's database, with a table for each dataset."""
    with fresh_database(servers) as dsn:
        await TABLES.upgrade(Server("database", dsn))
        made = Database(dsn)
        for name in NAMES:
            await made.run(TRADES.format(name=f"loaded_{name}"))
        yield made


@pytest.fixture
def make(database: Database, tmp_path: Path) -> Iterator[Callable[..., ConsumerProcess]]:
    """Makes consumers, which are gone at the end."""
    made: list[ConsumerProcess] = []

    def one(name: str = "one", more: str = "", **settings: Any) -> ConsumerProcess:
        given = {"page_rows": 100, "lease_seconds": 2.0, **settings}
        made.append(ConsumerProcess(tmp_path, database.dsn, name, given, more))
        return made[-1]

    yield one
    for each in made:
        each.kill()


@pytest.fixture
async def callbacks() -> AsyncIterator[Callbacks]:
    made = Callbacks()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def file(front: Front) -> Callable[..., dict[str, Any]]:
    """A file as the platform sends it; options may be changed, and None leaves one out."""

    def one(name: str = "t0", auth: str = "", executor: str = "http_table", **changed: Any) -> dict[str, Any]:
        source = changed.pop("source", f"{front.url}/v1/{name}")
        return {"executor": executor, "source": source, "auth": auth, "options": options(name, **changed)}

    return one


@pytest.fixture
async def room_of(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Room]]:
    """Makes places where runs are worked on in this process, which are left at the end."""
    made: list[Room] = []

    def one(**given: Any) -> Room:
        made.append(Room(database, **given))
        monkeypatch.setattr("snk.batch.consumer.filework.executor", made[-1].executors.__getitem__)
        return made[-1]

    yield one
    for each in made:
        await each.close()


@pytest.fixture
def room(room_of: Callable[..., Room]) -> Room:
    return room_of()
