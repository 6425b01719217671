"""Fixtures for tests that run the daemon inside the test, on real servers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from snk.db.server import Server
from snk.pair.core.budget import LEAST_CONNECTIONS
from snk.pair.core.portion import Portion
from snk.pair.core.selection import Selection
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.table.reader import Named, Reader
from tests.conftest import PairUrls
from tests.kit.databases import Database, until

NO_SWEEPS = SweepSchedule(every_seconds=0)
OFTEN = SweepSchedule(every_seconds=0.5, share=1.0, settle_seconds=0.5)
Running = Callable[..., AbstractAsyncContextManager[Daemon]]


def watch_named(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each read of rows by their names brings, from now on."""
    seen: list[int] = []
    named = Reader.named

    async def watched(self: Reader, uuids: Sequence[str], portion: Portion) -> Named:
        found = await named(self, uuids, portion)
        seen.append(sum(len(value) for column in found.rows.columns for value in column))
        return found

    monkeypatch.setattr(Reader, "named", watched)
    return seen


@asynccontextmanager
async def kept_running(daemon: Daemon, stop: asyncio.Event) -> AsyncIterator[None]:
    """A daemon that was found fit runs as long as the block."""
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run(stop))
        try:
            yield
        finally:
            stop.set()


async def until_healthy(daemon: Daemon) -> None:
    """Rows can be there before the flow of the other direction has begun."""

    async def healthy() -> bool:
        return daemon.status().healthy

    await until(healthy, "the daemon to be healthy")


async def until_asleep(daemon: Daemon) -> None:
    """All flows are idle, and the watches over their servers know that there is nothing to do."""

    async def asleep() -> bool:
        return all(flow.lag_seconds == 0.0 for flow in daemon.status().flows)

    await until(asleep, "all flows to be asleep")


@pytest.fixture
def first(pair: Any) -> Database:
    """Database A, for SQL by hand."""
    return Database(pair.first)


@pytest.fixture
def second(pair: Any) -> Database:
    """Database B, for SQL by hand."""
    return Database(pair.second)


@pytest.fixture
def running(pair: Any) -> Running:
    """A daemon that runs as long as the block; it makes what is missing first."""

    @asynccontextmanager
    async def run(
        *tables: str,
        select: str = "",
        redis: str = pair.redis,
        init: bool = True,
        name: str = "tested",
        sweeps: SweepSchedule = NO_SWEEPS,
        canary_seconds: float = 0,
        **limits: Any,
    ) -> AsyncIterator[Daemon]:
        stop = asyncio.Event()
        selection = Selection.of(select) if select else Selection(tables or ("records",))
        servers = Pair(Server("first", pair.first), Server("second", pair.second), selection.exact)
        daemon = Daemon(servers, Limits(**limits), redis, name=name, sweeps=sweeps, canary_seconds=canary_seconds)
        daemon.select(selection)
        await daemon.wait_until_fit(stop, init=init)
        async with kept_running(daemon, stop):
            yield daemon

    return run


@dataclass(frozen=True)
class Limited:
    """The pair as a role sees it that may have only so many connections.

    Attributes:
        role: its name on both servers.
    """

    urls: PairUrls
    role: str

    @property
    def servers(self) -> tuple[Server, Server]:
        return Server("first", self.urls.first), Server("second", self.urls.second)


@pytest.fixture
async def limited(pair: Any) -> AsyncIterator[Limited]:
    """One role on both servers, with the least number of connections."""
    name = urlsplit(pair.first).path[1:]
    role = f"limited_{name}"
    sides = Database(pair.first), Database(pair.second)
    for side in sides:
        await side.run(
            f"create role {role} login password 'pw' connection limit {LEAST_CONNECTIONS}",
            f'grant create on database "{name}" to {role}',
            f"grant all on schema public to {role}",
        )
    first, second = (url.replace("postgres:postgres@", f"{role}:pw@") for url in (pair.first, pair.second))
    yield Limited(PairUrls(first, second, pair.redis), role)
    for side in sides:
        await side.run(f"drop owned by {role}", f"drop role {role}")
