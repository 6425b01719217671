"""One direction of one table: sessions, one after another, until stopped.

A flow is ``standby`` while another daemon has the lease of its table, ``running`` while it has a session, ``waiting``
while a server is unavailable, and ``paused`` while there is an error that a person must fix. In the last two states it
retries with backoff, and logs the error once and then every minute. A server error never ends a flow.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import structlog

from snk.core.backoff import Backoff
from snk.errors import LeaseLost, ParentMissing, SnkError, TooLarge, TooSlow, Wait
from snk.log import Reminder
from snk.pair.core.pace import BatchSize, PollPace
from snk.pair.core.report import FlowState, FlowStatus
from snk.pair.sync.leases import HeldLease
from snk.pair.sync.limits import Limits
from snk.pair.sync.link import linked
from snk.pair.sync.meter import Meter
from snk.pair.sync.parts import Around, Echoes, FlowParts
from snk.pair.sync.progress import Progress
from snk.pair.sync.referred import Referred, Table
from snk.pair.sync.requested import RequestedRows
from snk.pair.sync.route import Route
from snk.pair.sync.session import Session
from snk.pair.sync.start import Starter
from snk.pair.sync.turns import NO_TURN
from snk.pause import pause

LAG_SECONDS = 2.0

log = structlog.get_logger()


class Flow:
    """Copies the rows inserted into a table of the source to the same table of the destination.

    Attributes:
        route: from where to where.
        progress: how far it has come.
        requested: rows that it must soon copy by uuid.
    """

    def __init__(self, route: Route, echoes: Echoes, around: Around, limits: Limits, sweep_due: asyncio.Event) -> None:
        self.route = route
        self.progress = Progress()
        alarm = asyncio.Event()
        self.requested = RequestedRows(alarm)
        self._meter = Meter(route, self.progress, self.requested)
        self._parts = FlowParts(route, echoes, around, self.progress, self._meter, self.requested, alarm)
        self._limits = limits
        self._size = BatchSize.of(limits.batch_rows, limits.batch_bytes)
        self._log = log.bind(**route.labels)
        self._reminder = Reminder()
        self._failures = 0
        self._sweep_due = sweep_due

    def wake(self) -> None:
        """There may be something to do: look at once."""
        self._parts.alarm.set()

    def status(self) -> FlowStatus:
        """Everything the flow reports about itself, at this moment."""
        return self._meter.status()

    @property
    def trouble(self) -> str:
        """Why it is unhealthy, or an empty string."""
        return self._meter.trouble

    @property
    def high(self) -> int:
        """The greatest id read at the source."""
        return self._meter.high

    @property
    def delivered(self) -> int:
        """Rows inserted into the destination since the daemon started."""
        return self._meter.delivered

    @property
    def caught_up(self) -> bool:
        """Whether it is running and has delivered all requested rows and nearly all rows that it can see."""
        progress = self.progress
        return progress.state == "running" and progress.lag_seconds < LAG_SECONDS and not self.requested

    def stand_by(self, leader: str, error: SnkError | None) -> None:
        """Another daemon works on the table, or an error prevents this one from knowing which daemon does."""
        if leader and leader != self.progress.leader:
            self._log.info("flow_standing_by", leader=leader)
        self.progress.leader = leader
        if error:
            self.fail(error)
        elif leader:
            self.progress.stood_by()
            self._meter.stood_by()
            self.progress.state = "standby"
        else:
            self.progress.stepped()
            self.progress.state = "starting"

    def fail(self, error: SnkError) -> None:
        """Report that an error prevents the flow from running."""
        self._meter.failed(error)
        self.progress.stepped()
        self.progress.state = _state_after(error)

    async def run(self, stop: asyncio.Event, held: HeldLease) -> None:
        """Keep a session running until ``stop`` is set, then finish the current batch; or until the lease is lost."""
        backoff = Backoff()
        self.progress.state, self.progress.leader = "starting", held.holder
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
                    self._log.warning("batches_made_smaller", rows=self._size.rows, bytes=self._size.bytes)
                backoff = Backoff() if time.monotonic() - started > backoff.most_seconds else backoff.failed()
                await pause(stop, backoff.wait_seconds(random.random()))  # noqa: S311 - jitter, not a secret

    async def _follow(self, session: Session, stop: asyncio.Event) -> None:
        turns = self._parts.around.turns
        if session.quiet and session.calm and not self._failures:
            self._found()
            await session.doze(stop)
        with turns.awake():
            await self._poll(session, stop)
        await session.finish()

    async def _poll(self, session: Session, stop: asyncio.Event) -> None:
        """Read often, and sleep while there is nothing to do; if many flows are awake, sleep at once."""
        turns, pace = self._parts.around.turns, PollPace.asleep_at_first(self._limits.poll_max_ms)
        while not stop.is_set():
            await session.gather()
            async with nullcontext(NO_TURN) if session.behind else turns.taken() as turn:
                began = time.monotonic()
                moved = await session.step(turn)
            took = time.monotonic() - began
            self._size = session.intake.size
            if self.progress.state != "running" and (session.proven or not self._failures):
                self._found()
            pace = pace.after(moved=moved)
            crowded = not moved and turns.crowd > 1
            if (pace.asleep or crowded) and session.calm and self.progress.state == "running":
                with turns.asleep():
                    await session.doze(stop)
            elif pace.quiet_ms:
                await pause(stop, pace.rest_seconds(took) * turns.crowd)

    @asynccontextmanager
    async def _session(self, epoch: int, stop: asyncio.Event) -> AsyncIterator[Session]:
        around, arrivals = self._parts.around, self._parts.around.destination.arrivals
        link = await linked(around.source.facts, around.destination.facts, self.route.table)
        name = link.destination.writer.table_name
        arrivals.arrived(name, None, 0)  # rows that refer to this table wait for it although it has not read yet
        try:
            start = await Starter(link, self._parts, self._sweep_due).start(epoch)
            referred = Referred(arrivals, Table(name, link.destination.parents), start.left.aside.hopeful, stop.is_set)
            session = Session(link, self._parts, start, self._size, referred)
            try:
                yield session
            finally:
                session.close()
        finally:
            arrivals.ended(name)

    def _found(self) -> None:
        if self._failures:
            self._log.info("flow_resumed", failures=self._failures)
            self._sweep_due.set()  # one may be owed of which nobody was told, as the answer was lost
        else:
            self._log.info("flow_started")
        self._failures = 0
        self._reminder.over()
        self.progress.state = "running"

    def _lost(self, error: SnkError) -> None:
        """Log the error immediately, then once a minute: a flow that keeps failing must not fill the log.

        If the flow was waiting for a server and now needs a person, it also logs that immediately.
        """
        self.fail(error)
        self._failures += 1
        if self._reminder.due(self.progress.state):
            self._log.warning(f"flow_{self.progress.state}", error=str(error), failures=self._failures)


def _state_after(error: SnkError) -> FlowState:
    return "waiting" if isinstance(error, Wait) else "paused"
