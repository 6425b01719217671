"""Two nodes of one platform, of which one asks who comes in, a consumer that a test decides about, and a browser."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from snk.batch.platform.tables import TABLES
from snk.db.pool import Pool
from snk.db.server import Server
from snk.pair.servers import EmbeddedPair
from tests.batch.conftest import define
from tests.kit.batch import Api, Consumer, Says, World, serving, told
from tests.kit.databases import until
from tests.kit.serve import fresh_database

SCOPES = {"admin": ["*"], "reader": ["runs:read"], "blind": ["runs:operate"]}
TOKENS = [{"name": name, "token": f"{name:-<20}", "scopes": scopes} for name, scopes in SCOPES.items()]
USERS = [{"user": "ada", "password": "correct horse", "scopes": ["runs:read", "runs:operate"]}]


@dataclass
class Platform:
    """What the tests of a module share; each has tasks of its own.

    Attributes:
        url: of the node that everybody on this machine may use.
        closed: of the one that asks who comes in.
        says: what the consumer answers to calls of a task; by default, that it goes on.
    """

    world: World
    pool: Pool
    consumer: Consumer
    session: aiohttp.ClientSession
    url: str = ""
    closed: str = ""
    says: dict[str, Says] = field(default_factory=dict)

    @property
    def api(self) -> Api:
        return Api(self.url, self.session)

    async def define(self, **tasks: dict[str, Any]) -> None:
        """Make tasks, whose consumer is called often, and groups."""
        given = {"consumers": [self.consumer.url], "interval_seconds": 0.2}
        await define(
            self.pool, **{name: each if "tasks" in each else {**given, **each} for name, each in tasks.items()}
        )

    async def run(self, task: str, state: str, payload: dict[str, Any] | None = None) -> int:
        """A new run of a task, as soon as it is in a state."""
        _, found = await self.api("POST", f"/v1/tasks/{task}/trigger", {"payload": payload or {}})
        await self.until_state(found["run"], state)
        return int(found["run"])

    async def until_state(self, run: int, *states: str) -> None:
        async def there() -> bool:
            return (await self.api.get(f"/v1/runs/{run}"))["state"] in states

        await until(there, f"run {run} to be {' or '.join(states)}")

    async def audit(self, subject: str) -> list[tuple[str, str, str]]:
        """Who did what to something, and why, newest first."""
        found = await self.api.get(f"/v1/audit?subject={subject}")
        return [(each["who"], each["what"], each["reason"]) for each in found["audit"]]

    def answer(self, call: dict[str, Any]) -> Any:
        says = self.says.get(call["task"])
        return says(call) if says else told(call, "RUNNING")


@pytest.fixture(scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory, servers: EmbeddedPair) -> AsyncIterator[Platform]:
    folder: Path = tmp_path_factory.mktemp("portal")
    async with AsyncExitStack() as stack:
        dsn = stack.enter_context(fresh_database(servers))
        await TABLES.upgrade(Server("database", dsn))
        worlds = {name: World(folder / name, dsn) for name in ("open", "closed")}
        for world in worlds.values():
            world.folder.mkdir()
            stack.callback(world.end)
        worlds["open"].configure()
        worlds["closed"].configure(auth={"tokens": TOKENS, "users": USERS})
        pool = Pool(dsn, 2, 30.0, "tests")
        stack.push_async_callback(pool.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        made = Platform(worlds["open"], pool, Consumer(), session)
        made.consumer.says = made.answer
        await stack.enter_async_context(serving(made.consumer))
        for name, world in worlds.items():
            world.start(name)
        made.url, made.closed = [await world.url(name) for name, world in worlds.items()]
        yield made
