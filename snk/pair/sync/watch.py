"""Watches one server for all flows that are idle: one wait in the server, whatever the number of tables.

A row becomes visible when its transaction ends, and then the server's snapshot changes: its text names the transactions
that are under way and the first one after all of them. So as long as the text stays the same, no table has a new row,
and a wait costs the server next to nothing. When it has changed, one cheap statement asks from which sequences more was
drawn than their flows have read. Only of these tables is asked whether they have rows above their marks (`exactly`),
and only the flows of those that have are woken.

Ids that were set by hand are not drawn from a sequence. So all tables are asked about now and then, too, and a table in
which such ids are found is asked about always.

A watch never decides anything. It wakes flows, which then do what they always do; when it does not know, it wakes all.

No row is missed between a flow's last read and its sleep: a flow is `watched` first, then reads once more or is looked
at once, whatever the snapshot. The base of a wait is the text that the previous wait returned, so whatever ends after
that wakes.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.errors import refused
from snk.db.functions import setting
from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.schema.creation import WAIT
from snk.pair.sync.exactly import Exactly
from snk.pair.table import commits
from snk.pair.table.commits import Ids
from snk.pair.table.reader import plan_by_index
from snk.pause import pause

WAIT_SECONDS = 0.45  # what servers log as slow takes longer
REST = 6  # pause as a multiple of the look before it: looks take a seventh of the time at most
ASKED_SECONDS = 0.02  # where the server cannot wait
ALL_SECONDS = 1.0  # how often all tables are asked about, while anything changes
ALL_REST = 100
LOCK_TIMEOUT = "200ms"
RETRY_SECONDS = 0.5
_DRAWN_ABOVE = commits.drawn_above()

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Sleeper:
    """A flow that is idle.

    Attributes:
        ids: what it reads.
        high: the greatest id that it has read.
        news: wakes it.
    """

    ids: Ids
    high: int
    news: asyncio.Event


class Watch:
    """The watch over one server.

    Attributes:
        changes: how often something has ended in the server, or may have.
    """

    def __init__(self, server: Server, every_seconds: float) -> None:
        """Assign.

        Args:
            server: the server; one connection is used.
            every_seconds: how often the server looks at its snapshot.
        """
        self.changes = 0
        self._server = server
        self._every_seconds = every_seconds
        self._sleepers: dict[Ids, Sleeper] = {}
        self._unseen = False
        self._exactly = Exactly(server)
        self._by_hand: set[Ids] = set()
        self._all_at = 0.0
        self._known_until = self._known_at = 0.0

    @contextmanager
    def watched(self, sleeper: Sleeper) -> Iterator[None]:
        """Inside the block, a flow is woken when its table has news."""
        self._sleepers[sleeper.ids] = sleeper
        self._unseen = True
        try:
            yield
        finally:
            self._sleepers.pop(sleeper.ids, None)

    @property
    def silent_seconds(self) -> float:
        """How long it is unknown whether the tables have news; 0 while the server says that they have none."""
        now = time.monotonic()
        return 0.0 if now < self._known_until else now - self._known_at

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until ``stop`` is set."""
        while not stop.is_set():
            try:
                async with self._server.connect() as connection:
                    async with self._server.answering(connection):
                        await plan_by_index(connection)
                        await connection.execute(sa.select(setting("lock_timeout", LOCK_TIMEOUT)))
                        waits = await catalog.exists(connection, WAIT, "function")
                    await self._follow(connection, stop, waits=waits)
            except SnkError as error:
                log.debug("watch_interrupted", side=self._server.label, error=str(error))
                self._wake_all()
                await pause(stop, RETRY_SECONDS)

    async def _follow(self, connection: AsyncConnection, stop: asyncio.Event, *, waits: bool) -> None:
        seen = ""
        while not stop.is_set():
            asked, base = time.monotonic(), seen
            self._known_until = asked + WAIT_SECONDS
            seen = await self._waited(connection, seen, waits=waits)
            self._known_at, self._known_until = asked, 0.0
            rest = 0.0 if waits else ASKED_SECONDS
            if seen != base or self._unseen:
                self.changes += seen != base
                began = time.monotonic()
                await self._look(connection)
                self._known_at = began
                rest = max(rest, REST * (time.monotonic() - began))
            if rest:
                await pause(stop, rest)

    async def _waited(self, connection: AsyncConnection, seen: str, *, waits: bool) -> str:
        """The server's snapshot, as soon as it is another one than what was seen."""
        asked = commits.waited(seen, WAIT_SECONDS, self._every_seconds) if waits else commits.snapshot()
        async with self._server.answering(connection):
            return (await connection.execute(asked)).scalar_one()

    async def _look(self, connection: AsyncConnection) -> None:
        """Wake the flows whose tables have rows above their marks."""
        self._unseen = False
        sleepers = dict(self._sleepers)
        if not sleepers:
            return
        now = time.monotonic()
        if now >= self._all_at:
            self._exactly.forget_beyond(sleepers)
            news = await self._exactly.ask(connection, {ids: each.high for ids, each in sleepers.items()})
            self._by_hand |= news & {ids for ids in sleepers if ids.sequence} - await self._drawn(connection, sleepers)
            self._all_at = time.monotonic() + max(ALL_SECONDS, ALL_REST * (time.monotonic() - now))
        else:
            suspects = await self._drawn(connection, sleepers)
            news = await self._exactly.ask(connection, {ids: sleepers[ids].high for ids in suspects})
        for ids in news:
            sleepers[ids].news.set()

    async def _drawn(self, connection: AsyncConnection, sleepers: Mapping[Ids, Sleeper]) -> set[Ids]:
        """The tables that may have rows above the marks, as far as their sequences tell."""
        told = [ids for ids in sleepers if ids.sequence and ids not in self._by_hand]
        suspects = sleepers.keys() - set(told)
        if not told:
            return suspects
        given = {"sequences": [ids.sequence for ids in told], "highs": [sleepers[ids].high for ids in told]}
        try:
            async with self._server.answering(connection):
                found = (await connection.execute(_DRAWN_ABOVE, given)).scalar_one() or []
        except SnkError as error:
            if not refused(error):
                raise
            return set(sleepers)  # a sequence is locked
        return suspects | {told[at - 1] for at in found}

    def _wake_all(self) -> None:
        self.changes += 1
        self._known_until = 0.0
        for sleeper in self._sleepers.values():
            sleeper.news.set()
