"""One direction of one table: sessions, one after the other, until told to stop.

A flow is ``standby`` while another daemon has the lease of its table, ``running`` while it has a session, ``waiting``
while a server is away, and ``paused`` while something is wrong that a person has to change; in both it tries again by
itself, with backoff, and says so once and then every minute. It never ends by an error of a server.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

import structlog

from snk.db.catalog import timeline
from snk.db.engine import Server
from snk.errors import LeaseLost, ParentMissing, SnkError, TooLarge, TooSlow, Wait
from snk.log import Reminder
from snk.pair.core.pace import Backoff, BatchSize, PollPace
from snk.pair.core.report import FlowState
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.lease import HeldLease
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.link import Link, linked
from snk.pair.sync.meter import Meter
from snk.pair.sync.pause import pause
from snk.pair.sync.referred import Referred, Table
from snk.pair.sync.session import Session
from snk.pair.sync.turns import Turns
from snk.pair.table.writer import MarkState

MOST_FULL_TABLES = 4

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How large batches are, how long a quiet flow sleeps, and how many notes of echoes a side of a table keeps."""

    batch_rows: int = 10000
    batch_bytes: int = 8 * 2**20
    poll_max_ms: float = 20.0
    notes: int = 200_000

    def shared_by(self, tables: int) -> "Limits":
        """The limits of each of so many tables; all together hold no more in memory than a few would."""
        share = min(1.0, MOST_FULL_TABLES / tables)
        rows, size, notes = (max(1, int(most * share)) for most in (self.batch_rows, self.batch_bytes, self.notes))
        return replace(self, batch_rows=rows, batch_bytes=size, notes=notes)


@dataclass(frozen=True, slots=True)
class Echoes:
    """The two sets of notes about one table that one flow has to do with.

    Attributes:
        held_by_destination: what the destination is known to hold.
        held_by_source: what the source is known to hold.
        name: under which Redis keeps ``held_by_destination``.
        store: Redis.
    """

    held_by_destination: DedupSet
    held_by_source: DedupSet
    name: str
    store: RedisStore


@dataclass(frozen=True, slots=True)
class Around:
    """What a flow shares with the others of its daemon.

    Attributes:
        turns: of all flows.
        arrivals: in its destination.
        read_lineage: of its source.
        written_lineage: of its destination.
    """

    turns: Turns
    arrivals: Arrivals
    read_lineage: Lineage
    written_lineage: Lineage


class Flow:
    """Brings what is inserted into a table of the source into that of the destination.

    Where the mark may promise more than is true, it writes down that a sweep is owed, and sets ``sweep_due``.
    """

    def __init__(
        self,
        source: Server,
        destination: Server,
        table: str,
        echoes: Echoes,
        limits: Limits,
        *,
        around: Around,
        sweep_due: asyncio.Event,
    ) -> None:
        self._wanted: list[str] = []
        self.meter = Meter(table, source.label, destination.label, self._wanted)
        self._ends = (source, destination)
        self._table = table
        self._echoes = echoes
        self._limits = limits
        self._size = BatchSize(limits.batch_rows, limits.batch_rows)
        self._around = around
        self._log = log.bind(table=table, source=source.label, destination=destination.label)
        self._reminder = Reminder()
        self._failures = 0
        self._sweep_due = sweep_due

    def want(self, uuids: Iterable[str]) -> int:
        """Bring these rows over by their names, soon: they are in the source, and tailing did not see them.

        Returns:
            How many of them are not on their way already.
        """
        known = set(self._wanted)
        new = [uuid for uuid in uuids if uuid not in known]
        self._wanted += new
        return len(new)

    def stand_by(self, leader: str, error: SnkError | None) -> None:
        """Another daemon works on the table, or an error keeps this one from knowing who does."""
        if leader and leader != self.meter.leader:
            self._log.info("flow_standing_by", leader=leader)
        self.meter.leader = leader
        if error:
            self.meter.failed(error)
            self.meter.state = _state_after(error)
        elif leader:
            self.meter.stood_by()
            self.meter.state = "standby"
        else:
            self.meter.stepped()
            self.meter.state = "starting"

    async def run(self, stop: asyncio.Event, held: HeldLease) -> None:
        """Keep a session going until ``stop`` is set, then finish the batch in hand; or until the lease is lost."""
        backoff = Backoff()
        self.meter.state, self.meter.leader = "starting", held.holder
        while not stop.is_set():
            started = time.monotonic()
            try:
                async with self._session(held.epoch, stop) as session:
                    await self._follow(session, stop)
            except LeaseLost as error:
                held.lose(error.epoch)
                return
            except SnkError as error:
                if stop.is_set() and isinstance(error, ParentMissing):
                    return
                self._lost(error)
                if isinstance(error, TooLarge | TooSlow) and self._size.rows > 1:
                    self._size = self._size.too_much()
                    size = self._size.share_of(self._limits.batch_bytes)
                    self._log.warning("batches_made_smaller", rows=self._size.rows, bytes=size)
                backoff = Backoff() if time.monotonic() - started > backoff.most_seconds else backoff.failed()
                await pause(stop, backoff.wait_seconds(random.random()))  # noqa: S311 - jitter, not a secret

    async def _follow(self, session: Session, stop: asyncio.Event) -> None:
        pace = PollPace(self._limits.poll_max_ms)
        while not stop.is_set():
            await session.gather()
            async with nullcontext() if session.behind else self._around.turns.taken() as turn:
                began = time.monotonic()
                moved = await session.step(turn)
            took = time.monotonic() - began
            self._size = session.size
            if self.meter.state != "running" and (session.proven or not self._failures):
                self._found()
            pace = pace.after(moved=moved)
            asleep = pace.asleep and await session.doze(pace.most_ms / 1000)
            if pace.quiet_ms and not asleep:
                await pause(stop, pace.rest_seconds(took))
        await session.finish()

    @asynccontextmanager
    async def _session(self, epoch: int, stop: asyncio.Event) -> AsyncIterator[Session]:
        source, destination = self._ends
        async with linked(source, destination, self._table) as link:
            await self._see_storage(link)
            state = await self._start_at(link, epoch)
            await self._anchor_echoes(link)
            self._around.read_lineage.anchor(link.source.facts.boot)
            self._around.written_lineage.anchor(link.destination.facts.boot)
            writer = link.destination.writer
            self.meter.conflicts = await writer.conflicts()
            aside = await writer.rejected()
            self.meter.rejected = aside.rows
            table = Table(writer.table_name, await writer.parents())
            session = Session(
                link,
                state,
                held_by_destination=self._echoes.held_by_destination,
                held_by_source=self._echoes.held_by_source,
                wanted=self._wanted,
                ledger=await writer.load_ledger(),
                meter=self.meter,
                size=self._size,
                batch_bytes=self._limits.batch_bytes,
                lineage=(self._around.read_lineage, self._around.written_lineage),
                referred=Referred(self._around.arrivals, table, aside.hopeful, stop.is_set),
            )
            try:
                yield session
            finally:
                self._around.arrivals.ended(table.name)

    async def _start_at(self, link: Link, epoch: int) -> MarkState:
        """Where to go on: at the destination's mark, or before it where the source may have gone back."""
        mark = await link.destination.writer.load_mark()
        if mark:
            mark = await link.destination.writer.claim(mark, epoch)
        # Only now: until it was claimed, the daemon before us might have moved it past what we had seen.
        lowest, greatest = await link.source.reader.bounds()
        floor, facts = link.source.reader.floor, link.source.facts
        bottom = floor if lowest is None else min(floor, lowest - 1)
        fresh = MarkState(high=bottom, safe=bottom, source=facts.identity, boot=facts.boot, epoch=epoch)
        if mark is None:
            await link.destination.writer.create_mark(fresh)
            return fresh
        if mark.source != facts.identity:
            self._log.warning("source_replaced", effect="every row is read again", was=mark.source, now=facts.identity)
            await self._owe_sweep(link, "the source is another database than the one the mark belongs to")
            return await link.destination.writer.move(replace(fresh, version=mark.version))
        if mark.boot != facts.boot:
            self._log.info(
                "source_restarted", effect="reading again what was not durable", high=mark.high, safe=mark.safe
            )
            if timeline(mark.boot) != timeline(facts.boot):
                # What the old primary had on disk the new one may never have had, so even safe may promise too much.
                self._log.warning("source_failed_over", effect="the whole table is compared", high=mark.high)
                await self._owe_sweep(link, "the source failed over, or was restored from a backup")
            back = replace(mark, high=mark.safe, holes=mark.holes.up_to(mark.safe), boot=facts.boot)
            # At once, though nothing may ever come: every session would meet the other boot, and owe a sweep again.
            mark = await link.destination.writer.move(back)
        if await link.source.reader.went_back(mark.high, greatest):
            self._log.warning("source_went_back", effect="every row is read again", high=mark.high, greatest=greatest)
            await self._owe_sweep(link, "the greatest id of the source was below the mark")
            return await link.destination.writer.move(replace(fresh, version=mark.version))
        return mark

    async def _see_storage(self, link: Link) -> None:
        """A table that was emptied or made anew since anybody saw it last may lack rows that the mark counts.

        Each flow looks after its destination; the opposite one has the mark that speaks of this one's source.
        """
        destination = link.destination
        if await destination.sweeps.look(destination.reader.storage_fingerprint):
            self._log.warning("table_rewritten", effect="the whole table is compared", side=destination.server.label)
            self._sweep_due.set()

    async def _owe_sweep(self, link: Link, reason: str) -> None:
        """Have the whole table compared, also by a successor. The mark may not move before."""
        await link.destination.sweeps.owe(reason)
        self._sweep_due.set()

    async def _anchor_echoes(self, link: Link) -> None:
        """Notes about the destination count only for its present start; after one, take up what Redis still knows."""
        held = self._echoes.held_by_destination
        held.anchor(link.destination.facts.boot)
        if held.restored:
            return
        held.restored = True
        found = await self._echoes.store.restore(self._echoes.name, link.destination.reader.held)
        if found:
            self._log.info("echoes_restored", entries=found)

    def _found(self) -> None:
        if self._failures:
            self._log.info("flow_resumed", failures=self._failures)
        else:
            self._log.info("flow_started")
        self._failures = 0
        self._reminder.over()
        self.meter.state = "running"

    def _lost(self, error: SnkError) -> None:
        """Say so at once, and then once a minute: a flow that fails on and on must not fill the log.

        A flow that waited for a server, and now needs a person, says that at once too.
        """
        self.meter.failed(error)
        self.meter.state = _state_after(error)
        self._failures += 1
        if self._reminder.due(self.meter.state):
            self._log.warning(f"flow_{self.meter.state}", error=str(error), failures=self._failures)


def _state_after(error: SnkError) -> FlowState:
    return "waiting" if isinstance(error, Wait) else "paused"
