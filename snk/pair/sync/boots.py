"""Meets both servers again and again over a new connection, and so notices another one behind the same address.

After a fail-over, a connection to the server that led before may live on: a proxy sends new connections elsewhere, and
leaves the old ones. Everything that a daemon did over those would seem to work, on a server that nobody uses any more.
What is found here is told to all who lend connections: flows, sweeps, watches and leases go where new connections go.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from snk.db import catalog
from snk.db.lender import Lender
from snk.db.server import Server
from snk.errors import SnkError
from snk.log import Reminder
from snk.pause import pause

MEET_SECONDS = 30.0  # a connection costs some fifteen milliseconds of CPU time

log = structlog.get_logger()


class BootWatch:
    """Tells lenders in which boot their servers are met."""

    def __init__(self, servers: Mapping[str, Server], lenders: Sequence[Lender]) -> None:
        """Assign.

        Args:
            servers: to meet, over a connection each that is closed at once, by their labels.
            lenders: all connections to these servers that are lent; those of the flows first.
        """
        self._servers = servers
        self._lenders = lenders
        self._reminder = Reminder()

    async def run(self, stop: asyncio.Event) -> None:
        """Meet the servers at intervals until ``stop`` is set."""
        while not stop.is_set():
            await pause(stop, MEET_SECONDS)
            for label, server in self._servers.items():
                try:
                    await self._see(server, [each for each in self._lenders if each.server.label == label])
                except SnkError as error:  # the flows report servers that cannot be reached
                    log.debug("boot_unknown", side=label, error=str(error))

    async def _see(self, server: Server, lenders: Sequence[Lender]) -> None:
        """Tell the lenders where new connections go; the first is that of the flows, which know a restart at once."""
        boot, before = await self._met(server), lenders[0].boot
        if before not in ("", boot):
            if await self._met(server) != boot:
                if self._reminder.due(server.label):
                    log.warning("address_alternates", side=server.label, effect="staying with the server of before")
                return
            log.warning("another_boot_met", side=server.label, boot=boot, before=before)
        for lender in lenders:
            lender.boot = boot

    async def _met(self, server: Server) -> str:
        """The boot that a new connection leads to. It has a deadline of its own: others wait for its place."""
        async with server.connect() as connection, server.promptly():
            return (await catalog.server_facts(connection)).boot
