"""Watches one server for all flows that are idle: one wait in the server, whatever the number of tables.

A row becomes visible when its transaction ends, and then the server's snapshot changes: its text names the transactions
that are under way and the first one after all of them. So as long as the text stays the same, no table has a new row,
and a wait costs the server next to nothing. When it has changed, the same statement tells from which sequences more was
drawn than their flows have read. If that is new, the flow is woken. If it is not, the row was undone or its transaction
goes on; then the table is asked whether it has rows above the mark (`Exactly`).

Ids that were set by hand are not drawn from a sequence. So after a change all tables are asked in turn, too,
twenty-five a second, and a table in which such ids are found is asked each time for the next ten minutes.

A watch never decides anything. It wakes flows, which then do what they always do; when it does not know, it wakes all.

No row is missed between a flow's last read and its sleep: a flow is `asleep` first, then reads once more or is looked
at once, whatever the snapshot. The base of a wait is the text that the previous wait returned, so whatever ends after
that wakes. Once a flow has been asleep, each wait covers its table, also while it is awake. So a wait that is under way
when the flow falls asleep again reports its rows, too.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.errors import refused
from snk.db.functions import array_text, wait_briefly
from snk.db.lender import Lender
from snk.db.server import Server
from snk.errors import SnkError
from snk.pair.schema.creation import WAIT
from snk.pair.sync.drawn import Drawn
from snk.pair.sync.exactly import FEW, Exactly
from snk.pair.sync.watch_pace import WAIT_SECONDS, WatchPace
from snk.pair.table import commits
from snk.pair.table.commits import Ids
from snk.pair.table.reader import plan_by_index
from snk.pause import pause

NOBODY_SECONDS = 0.2  # between looks while all flows are awake
ASKED_SECONDS = 0.02  # where the server cannot wait
TABLES_PER_SECOND = 25  # that are asked about in turn
TURN_SECONDS = 0.8
RETRY_SECONDS = 0.5
BY_HAND_SECONDS = 600.0
LATE_SECONDS = 0.1  # what an answer may take beyond the wait
_WAITED = {waits: commits.waited(waits=waits) for waits in (False, True)}

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Sleeper:
    """A flow that is idle now and then.

    Attributes:
        ids: what it reads.
        high: the greatest id that it has read.
        news: wakes it.
        asleep: whether it waits for that.
    """

    ids: Ids
    high: int
    news: asyncio.Event
    asleep: bool = False


@dataclass(frozen=True, slots=True)
class Waited:
    """What a wait has found.

    Attributes:
        snapshot: its text.
        drawn: the positions, from 1, of the sequences from which more was drawn, with what was drawn last if known.
    """

    snapshot: str
    drawn: Mapping[int, int | None]


class Watch:
    """The watch over one server.

    Attributes:
        changes: how often something has ended in the server, or may have.
    """

    def __init__(self, server: Server, lender: Lender, every_seconds: float) -> None:
        """Assign.

        Args:
            server: the server; one connection is used.
            lender: over its connections flows read; it knows in which boot the server was met last.
            every_seconds: how often the server looks at its snapshot while nothing changes.
        """
        self.changes = 0
        self._server = server
        self._lender = lender
        self._sleepers: dict[Ids, Sleeper] = {}
        self._somebody = asyncio.Event()
        self._pace = WatchPace(every_seconds)
        self._unseen = False
        self._exactly = Exactly(server)
        self._by_hand: set[int] = set()
        self._by_hand_since = time.monotonic()
        self._drawn = Drawn()
        self._turns: dict[Ids, None] = {}
        self._turns_of = 0
        self._turn_at = 0.0
        self._known_until = self._known_at = 0.0
        self._boot = ""

    @contextmanager
    def asleep(self, sleeper: Sleeper) -> Iterator[None]:
        """Inside the block, a flow is woken when its table has news. The watch knows it until it is told to `forget`.

        When it comes for the first time, it may not have read yet, and an id may have been set by hand before.
        """
        if self._sleepers.get(sleeper.ids) is not sleeper:
            self._sleepers[sleeper.ids] = sleeper
            self._turns[sleeper.ids] = None
            self._unseen = True
        sleeper.asleep = True
        self._somebody.set()
        try:
            yield
        finally:
            sleeper.asleep = False

    def forget(self, sleeper: Sleeper) -> None:
        """A flow has ended."""
        if self._sleepers.get(sleeper.ids) is sleeper:
            del self._sleepers[sleeper.ids]

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
                    self._boot = await self._lender.meet(connection)
                    async with self._server.answering(connection):
                        await plan_by_index(connection)
                        await wait_briefly(connection, local=False)
                        waits = await catalog.exists(connection, WAIT, "function")
                    await self._follow(connection, stop, waits=waits)
            except SnkError as error:
                log.debug("watch_interrupted", side=self._server.label, error=str(error))
                self._wake_all()
                await pause(stop, RETRY_SECONDS)

    async def _follow(self, connection: AsyncConnection, stop: asyncio.Event, *, waits: bool) -> None:
        seen = ""
        while not stop.is_set():
            await self._while_nobody_sleeps()
            self._lender.see_boot(self._boot)
            asked, base = time.monotonic(), seen
            self._known_until = asked + WAIT_SECONDS + LATE_SECONDS
            unseen, self._unseen = self._unseen, False
            told = [sleeper for ids, sleeper in self._sleepers.items() if ids.sequence and ids.oid not in self._by_hand]
            found = await self._waited(connection, told, "" if unseen else seen, waits=waits)
            self._known_at, self._known_until = asked, 0.0
            seen, rest = found.snapshot, 0.0 if waits else ASKED_SECONDS
            if seen != base or unseen:
                self.changes += seen != base
                self._known_at = began = time.monotonic()
                woken = await self._see(connection, told, found)
                rest = max(rest, self._pace.seen(asked, began, time.monotonic(), woken=woken))
            if time.monotonic() - self._turn_at > TURN_SECONDS:
                await self._look_by_turns(connection)
            if rest:
                await pause(stop, rest)

    async def _waited(self, connection: AsyncConnection, told: Sequence[Sleeper], seen: str, *, waits: bool) -> Waited:
        """The server's snapshot as soon as it is another one than what was seen, and what was drawn by then."""
        given: dict[str, Any] = {
            "sequences": array_text(sleeper.ids.sequence for sleeper in told),
            "highs": array_text(sleeper.high for sleeper in told),
        }
        if waits:
            most_seconds, every_seconds = self._pace.wait(time.monotonic())
            given |= {"seen": seen, "most_seconds": most_seconds, "every_seconds": every_seconds}
        try:
            async with self._server.answering(connection):
                snapshot, at, last = (await connection.execute(_WAITED[waits], given)).one()
        except SnkError as error:
            if not told or not refused(error):
                raise
            # A sequence is locked: whatever is drawn, all tables are asked about.
            found = await self._waited(connection, (), seen, waits=waits)
            return Waited(found.snapshot, dict.fromkeys(range(1, len(told) + 1)))
        return Waited(snapshot, dict(zip(at or (), last or (), strict=True)))

    async def _while_nobody_sleeps(self) -> None:
        """While all flows are awake, nobody needs a look; but now and then there is one all the same."""
        self._somebody.clear()
        if not any(sleeper.asleep for sleeper in self._sleepers.values()):
            with suppress(TimeoutError):
                async with asyncio.timeout(NOBODY_SECONDS):
                    await self._somebody.wait()

    async def _see(self, connection: AsyncConnection, told: Sequence[Sleeper], found: Waited) -> bool:
        """Wake the flows whose tables have rows above their marks, as far as their sequences tell; return if any was.

        If something was drawn since the last look, there is a row most probably, and the flow looks for itself. If not,
        it may have been undone, or its transaction goes on, and it would look in vain again and again: the table is
        asked, until it is known that no row will come.
        """
        sleepers = [sleeper for sleeper in self._sleepers.values() if sleeper.asleep]
        suspects = [sleeper for sleeper in sleepers if not sleeper.ids.sequence or sleeper.ids.oid in self._by_hand]
        woken = False
        for position, last in found.drawn.items():
            sleeper = told[position - 1]
            if not sleeper.asleep or sleeper.news.is_set() or (last is not None and last <= sleeper.high):
                continue  # it has read more meanwhile, or will
            if self._drawn.is_news(sleeper.ids, last):
                sleeper.news.set()
                woken = True
            elif self._sleepers.get(sleeper.ids) is sleeper and not self._drawn.is_vain(sleeper.ids):
                suspects.append(sleeper)
        return bool(await self._ask(connection, suspects, found.snapshot)) or woken

    async def _ask(self, connection: AsyncConnection, suspects: Sequence[Sleeper], snapshot: str = "") -> list[Sleeper]:
        """Wake those of these flows whose tables have rows above their marks, or may have; return the former."""
        told = await self._exactly.ask(connection, {sleeper.ids: sleeper.high for sleeper in suspects})
        for sleeper in suspects:
            if sleeper.ids in told.rows or sleeper.ids in told.refused:
                sleeper.news.set()
            elif sleeper.ids in told.none and snapshot:
                self._drawn.no_row(sleeper.ids, snapshot)
        return [sleeper for sleeper in suspects if sleeper.ids in told.rows]

    async def _look_by_turns(self, connection: AsyncConnection) -> None:
        """Ask about some tables whatever their sequences tell: about each once after a change, until it can be told."""
        if not self._turns:
            changed, self._turns_of = self._turns_of != self.changes, self.changes
            self._exactly.tidy(self._sleepers)
            self._forget_those_that_are_gone()
            self._turns = dict.fromkeys(self._exactly.in_groups(self._sleepers if changed else self._exactly.owed))
        now = time.monotonic()
        most = max(FEW, int((now - self._turn_at) * TABLES_PER_SECOND))
        turns = list(self._turns)
        asked, self._turns, self._turn_at = turns[:most], dict.fromkeys(turns[most:]), now
        sleepers = [sleeper for ids in asked if (sleeper := self._sleepers.get(ids)) and sleeper.asleep]
        highs = {sleeper.ids: sleeper.high for sleeper in sleepers}
        news = await self._ask(connection, sleepers)
        if told := [sleeper for sleeper in news if sleeper.ids.sequence]:
            found = await self._waited(connection, told, "", waits=False)
            told_of = {told[position - 1].ids.oid for position in found.drawn}
            # One that was woken may have read on meanwhile: then its sequence is not above what it has read any more.
            self._by_hand |= {each.ids.oid for each in told if each.high == highs[each.ids]} - told_of

    def _forget_those_that_are_gone(self) -> None:
        """Keep what was learnt about tables from growing for ever; it is learnt again."""
        most, now = 2 * len(self._sleepers) + FEW, time.monotonic()
        if len(self._by_hand) > most or now - self._by_hand_since > BY_HAND_SECONDS:
            self._by_hand_since = now
            self._by_hand.clear()
        if len(self._drawn) > most:
            self._drawn.forget()

    def _wake_all(self) -> None:
        self.changes += 1
        self._known_until = 0.0
        self._drawn.forget()
        for sleeper in self._sleepers.values():
            sleeper.news.set()
