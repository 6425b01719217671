"""Finds the sessions that hold a lock that SNK waits for, when a flow has stopped moving.

A statement that waits for a lock keeps its connection. If others wait for that, it gives way: its session ends, and the
next one tries again later. So tables that are locked stop no other table.
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from snk.db.lender import Lender
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

    def __init__(self, servers: Mapping[str, Server], lenders: Mapping[str, Lender]) -> None:
        """Assign.

        Args:
            servers: to look at, over a connection of its own each, by their labels.
            lenders: the connections that flows share, by the same labels.
        """
        self._servers = servers
        self._lenders = lenders
        self.lockers: tuple[Locker, ...] = ()

    async def run(self, stop: asyncio.Event, standing: Callable[[], bool]) -> None:
        """Look while a flow is ``standing`` still, until ``stop`` is set."""
        while not stop.is_set():
            if standing():
                found = [await self._look(label) for label in self._servers]
                self.lockers = tuple(locker for lockers in found for locker in lockers)
            else:
                self.lockers = ()
            await pause(stop, LOOK_SECONDS)

    async def _look(self, label: str) -> list[Locker]:
        lender = self._lenders[label]
        try:
            async with self._servers[label].connect() as connection:
                if lender.crowded:
                    lender.interrupt(await activity.held_up(connection, LOOK_SECONDS))
                return await activity.lockers(connection, label)
        except SnkError as error:  # the flows report servers that cannot be reached
            log.debug("lockers_unknown", side=label, error=str(error))
            return []
