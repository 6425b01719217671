"""A daemon over proxies, with deadlines that a test can wait for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from snk.db.server import Server
from snk.pair.core.budget import CONNECTIONS
from snk.pair.core.report import FlowStatus
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.limits import Limits
from snk.pair.sync.pair import Pair
from tests.kit.databases import DEADLINE_SECONDS, Database, insert, until, until_equal

# Long enough for a busy machine, short enough to wait for.
QUICK: dict[str, Any] = {"answer_seconds": 0.5, "connect_seconds": 3.0}


@asynccontextmanager
async def daemon_over(
    first: str,
    second: str,
    redis: str,
    *,
    init: bool = True,
    batch_rows: int = 10_000,
    connections: int = CONNECTIONS,
    **deadlines: Any,
) -> AsyncIterator[Daemon]:
    """A daemon that runs as long as the block, and is still running at its end."""
    stop = asyncio.Event()
    servers = (Server("first", first, **QUICK | deadlines), Server("second", second, **QUICK | deadlines))
    daemon = Daemon(Pair(*servers, ("records",)), Limits(batch_rows, connections=connections), redis)
    await daemon.wait_until_fit(stop, init=init)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(daemon.run(stop))
        try:
            yield daemon
            assert not running.done()
        finally:
            stop.set()


async def until_says(daemon: Daemon, words: str, *, flow: int = 0, deadline_seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until a flow does not run, for a reason with these words."""

    def says(status: FlowStatus) -> bool:
        return status.state == "waiting" and words in status.error

    await until_status(daemon, says, flow=flow, what=words, deadline_seconds=deadline_seconds)


async def until_status(
    daemon: Daemon,
    condition: Callable[[FlowStatus], Any],
    *,
    flow: int,
    what: str,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> None:
    async def fulfilled() -> bool:
        return bool(condition(daemon.status().flows[flow]))

    try:
        await until(fulfilled, what, deadline_seconds)
    except AssertionError as error:
        error.add_note(str(daemon.status().flows))
        raise


async def until_running(daemon: Daemon) -> None:
    """Wait until both flows run."""
    for flow in (0, 1):
        await until_status(daemon, lambda status: status.state == "running", flow=flow, what="running")


async def goes_on(daemon: Daemon, first: Database, second: Database, rows: int) -> None:
    """See that rows cross both ways, nothing is missing, and nothing is a conflict."""
    await insert(first, 3)
    await insert(second, 3)
    await until_equal(first, second, rows + 6)
    await until_running(daemon)
    for side in (first, second):
        assert await side.value("select count(*) from snk.conflicts") == 0
