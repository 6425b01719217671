"""Watches one server for all flows that are idle: one wait in the server, whatever the number of tables.

A row becomes visible when its transaction ends, and then the server's snapshot changes: its text names the transactions
that are under way and the first one after all of them. So as long as the text stays the same, no table has a new row,
and a wait costs the server next to nothing. When it has changed, one statement asks which of the tables have rows above
the marks of their flows, and only these are woken.

A watch never decides anything. It wakes flows, which then do what they always do; when it does not know, it wakes all.

No row is missed between a flow's last read and its sleep: a flow is `watched` first, then reads once more, and only
then sleeps. The base of a wait is the text that the previous wait returned, so whatever ends after that wakes.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.errors import sqlstate
from snk.db.functions import setting
from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.schema.creation import WAIT
from snk.pair.table import commits
from snk.pair.table.commits import Ids
from snk.pair.table.reader import plan_by_index
from snk.pause import pause

WAIT_SECONDS = 0.45  # what servers log as slow takes longer
REST = 6  # pause as a multiple of the look before it: looks take a seventh of the time at most
ASKED_SECONDS = 0.02  # where the server cannot wait
AT_ONCE = 50  # tables in one look
LOCK_TIMEOUT = "200ms"
ASIDE_SECONDS = 5.0
RETRY_SECONDS = 0.5

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


@dataclass(eq=False, slots=True)
class _Group:
    """Tables that one statement looks at.

    Attributes:
        asked: the statement: the positions of those that have rows above ``highs``.
        aside_until: monotonic time until which nothing is asked of them, as it failed.
    """

    tables: Sequence[Ids]
    asked: sa.Select[Any] = field(init=False)
    aside_until: float = 0.0

    def __post_init__(self) -> None:
        self.asked = commits.with_news(self.tables)

    def halves(self) -> list["_Group"]:
        middle = len(self.tables) // 2
        return [_Group(self.tables[:middle]), _Group(self.tables[middle:])]


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
        self._groups: list[_Group] = []
        self._known_until = self._known_at = 0.0

    @contextmanager
    def watched(self, sleeper: Sleeper) -> Iterator[None]:
        """Inside the block, a flow is woken when its table has news."""
        self._sleepers[sleeper.ids] = sleeper
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
            if seen != base:
                self.changes += 1
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
        self._regroup()
        now = time.monotonic()
        for group in list(self._groups):
            if group.aside_until > now:
                continue
            highs = [sleeper.high if (sleeper := self._sleepers.get(table)) else None for table in group.tables]
            if not any(high is not None for high in highs):
                continue
            try:
                async with self._server.answering(connection):
                    found = (await connection.execute(group.asked, {"highs": highs})).scalar_one()
            except SnkError as error:
                self._set_aside(group, error)
            else:
                self._wake([group.tables[at] for at in found])

    def _regroup(self) -> None:
        """Group tables that are new here; all of them anew if most are gone."""
        grouped = {table for group in self._groups for table in group.tables}
        if len(grouped) > 2 * len(self._sleepers) + AT_ONCE:
            self._groups, grouped = [], set()
        new = [table for table in self._sleepers if table not in grouped]
        self._groups += [_Group(new[at : at + AT_ONCE]) for at in range(0, len(new), AT_ONCE)]

    def _set_aside(self, group: _Group, error: SnkError) -> None:
        """A table of the group is locked, gone or not to be read: its flow finds out; the others are asked again.

        Raises:
            SnkError: the connection is lost.
        """
        cause = error.__cause__
        if not isinstance(cause, DBAPIError) or cause.connection_invalidated or not sqlstate(cause):
            raise error
        self._wake(group.tables)
        at = self._groups.index(group)
        if len(group.tables) > 1:
            self._groups[at : at + 1] = group.halves()
        elif group.tables[0] in self._sleepers:
            group.aside_until = time.monotonic() + ASIDE_SECONDS
        else:
            del self._groups[at]

    def _wake(self, tables: Sequence[Ids]) -> None:
        for table in tables:
            if sleeper := self._sleepers.get(table):
                sleeper.news.set()

    def _wake_all(self) -> None:
        self.changes += 1
        self._known_until = 0.0
        self._wake(list(self._sleepers))
