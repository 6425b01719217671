"""Finds the sessions that hold a lock that SNK waits for, when a flow has stopped moving."""

import asyncio
from collections.abc import Callable

import structlog

from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.catalog import activity
from snk.pair.core.report import Locker
from snk.pause import pause

LOOK_SECONDS = 1.0

log = structlog.get_logger()


class LockWatch:
    """Names the sessions that keep SNK waiting.

    Attributes:
        lockers: the sessions found by the last look; empty while all flows move.
    """

    def __init__(self, *servers: Server) -> None:
        self._servers = servers
        self.lockers: tuple[Locker, ...] = ()

    async def run(self, stop: asyncio.Event, standing: Callable[[], bool]) -> None:
        """Look while a flow is ``standing`` still, until ``stop`` is set."""
        while not stop.is_set():
            if standing():
                self.lockers = tuple([locker for server in self._servers for locker in await _look(server)])
            else:
                self.lockers = ()
            await pause(stop, LOOK_SECONDS)


async def _look(server: Server) -> list[Locker]:
    try:
        async with server.connect() as connection:
            return await activity.lockers(connection, server.label)
    except SnkError as error:  # the flows report servers that cannot be reached
        log.debug("lockers_unknown", side=server.label, error=str(error))
        return []
