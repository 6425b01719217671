"""A daemon whose pages are served by the test itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from snk.http.door import Door
from snk.http.pages import application
from snk.http.service import Address, listening, serve
from snk.pair.portal.measured import Measured
from snk.pair.portal.site import site
from snk.pair.status.pages import pages
from snk.pair.sync.daemon import Daemon


@asynccontextmanager
async def served(daemon: Daemon, door: Door | None = None) -> AsyncIterator[str]:
    """The address of the pages of a daemon, as long as the block lasts."""
    stop, door = asyncio.Event(), door or Door()
    with listening(Address("127.0.0.1", 0), guarded=False) as bound:
        bound.listen()  # who comes before the service has begun waits for it
        portal = site(daemon, Measured(daemon), door=door, stop=stop)
        shown = application(daemon.troubles, daemon.status, pages(), portal.routes())
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(shown, bound, stop, door))
            try:
                yield f"http://127.0.0.1:{bound.getsockname()[1]}"
            finally:
                stop.set()
