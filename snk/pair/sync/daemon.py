"""The daemon: one job per table, each with two flows; all jobs start together and stop together.

`asyncio.TaskGroup` starts and stops them. A job survives every server error. Any other exception in a job is a defect
and ends the process with an error, rather than leaving half of it running.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import structlog

from snk import __version__
from snk.db.lender import Lender
from snk.db.server import Server
from snk.errors import SnkError, Stop, Wait
from snk.log import Reminder
from snk.pair.core.report import CanaryStatus, DaemonStatus, DedupStatus
from snk.pair.core.selection import Selection
from snk.pair.dedup.dedup_set import Pool
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.schema.own import CANARIES
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.boots import BootWatch
from snk.pair.sync.canary import CanaryProbe
from snk.pair.sync.facts import TableFacts
from snk.pair.sync.flow import Flow
from snk.pair.sync.job import STOP_SECONDS
from snk.pair.sync.leases import Leases
from snk.pair.sync.limits import MOST_FULL_TABLES, Limits
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.link import check_pair, lender_of
from snk.pair.sync.locks import LockWatch
from snk.pair.sync.pair import Pair
from snk.pair.sync.prepare import prepare
from snk.pair.sync.room import Room
from snk.pair.sync.rounds import Rounds
from snk.pair.sync.schedule import SweepSchedule
from snk.pair.sync.shared import Shared
from snk.pair.sync.side import Side
from snk.pair.sync.sweeper import SweepMeans
from snk.pair.sync.tables import Tables
from snk.pair.sync.turns import Turns
from snk.pair.sync.watch import Watch
from snk.pair.verify.throttle import throttles_of
from snk.pair.verify.whole import WholeDigests
from snk.pause import pause

RETRY_SECONDS = 1.0
SLOW_SECONDS = 2.0

log = structlog.get_logger()


class Daemon:
    """Keeps the tables of a pair equal until stopped."""

    def __init__(
        self,
        pair: Pair,
        limits: Limits,
        redis_dsn: str,
        *,
        name: str = "",
        sweeps: SweepSchedule | None = None,
        canary_seconds: float = 0,
    ) -> None:
        self._pair = pair
        # Containers may share host names and process numbers.
        self._name = name or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._started = time.monotonic()
        sweeps = sweeps or SweepSchedule()
        servers = (pair.first, pair.second)
        lenders = {server.label: lender_of(server, limits.lent) for server in servers}
        facts = {label: TableFacts(lender) for label, lender in lenders.items()}
        doors, throttles = (lender_of(pair.first, 1), lender_of(pair.second, 1)), throttles_of(sweeps.share)
        self._shared = Shared(
            store=RedisStore(redis_dsn),
            leases=Leases(_reached(pair), lenders, self._name, self._not_ours),
            limits=limits,
            schedule=sweeps,
            sweeping=SweepMeans(doors, WholeDigests(doors, throttles), facts, throttles),
            sides={server.label: _side(server, facts[server.label], limits) for server in _reached(pair)},
            turns=Turns(),
            room=Room(limits),
            notes=Pool(2 * MOST_FULL_TABLES * limits.notes),
        )
        self._tables = Tables(pair, self._shared, always=(CANARIES,) if canary_seconds else ())
        ends = list(lenders.values())
        ways = (ends, ends[::-1]) if canary_seconds else ()
        self._canaries = [CanaryProbe(source, destination, canary_seconds) for source, destination in ways]
        probed = {each.label: replace(each, most=each.probes) for each in servers}
        self._locks = LockWatch(probed, lenders)
        self._boots = BootWatch(probed, (*lenders.values(), *doors))

    @property
    def name(self) -> str:
        """Its host and process."""
        return self._name

    @property
    def lenders(self) -> tuple[Lender, Lender]:
        """The connections to both servers that flows share, for questions and changes that take a moment."""
        first, second = (side.facts.lender for side in self._shared.sides.values())
        return first, second

    @property
    def flows(self) -> list[Flow]:
        """All flows, both directions of each table, in the order of the tables."""
        return [flow for job in self._tables.jobs.values() for flow in job.flows]

    @property
    def begun(self) -> bool:
        """Whether it is known which tables are selected, and all their flows have begun."""
        return self._tables.known and all(flow.progress.state != "starting" for flow in self.flows)

    def select(self, selection: Selection) -> None:
        """Sync the tables of this selection: at the start, or from now on if the daemon runs."""
        self._tables.select(selection)

    async def wait_until_fit(self, stop: asyncio.Event, *, init: bool = False) -> None:
        """Wait for both servers, then check that this pair and these tables can be synced.

        Args:
            stop: ends the wait.
            init: create what is missing first.

        Raises:
            DatabaseUnfit, TableUnfit: they cannot be synced; a person must change something.
        """
        reminder, looked_twice = Reminder(), False
        while not stop.is_set():
            try:
                faults = await self._faults(init=init)
            except Wait as error:
                if reminder.due(str(error)):
                    log.warning("server_awaited", error=str(error))
                for flow in self.flows:
                    flow.fail(error)
                await pause(stop, RETRY_SECONDS)
                continue
            if faults and not looked_twice:
                looked_twice = True  # the check may have seen one side before an ALTER TABLE and the other after it
                await pause(stop, RETRY_SECONDS)
                continue
            for fault in faults[1:]:
                log.error("pair_unfit", error=str(fault))
            if faults:
                raise faults[0]
            return

    async def run(self, stop: asyncio.Event) -> None:
        """Run all jobs until ``stop`` is set; then let each flow finish its current batch, within a few seconds."""
        async with self._connections(), self._shared.store, asyncio.TaskGroup() as group:
            store = group.create_task(self._shared.store.run())
            leases = group.create_task(self._shared.leases.run())
            helpers = [group.create_task(canary.run(stop, self._leads_canaries)) for canary in self._canaries]
            helpers.append(group.create_task(self._locks.run(stop, self._standing)))
            helpers.append(group.create_task(self._boots.run(stop)))
            for side in self._shared.sides.values():
                helpers += [group.create_task(side.watch.run(stop)), group.create_task(side.rounds.run(stop))]
            jobs = group.create_task(self._tables.run(stop, group))
            await stop.wait()
            log.info("daemon_stopping")
            self._shared.leases.retire()
            await asyncio.wait((jobs,))
            self._shared.leases.close()
            self._shared.store.close()
            await asyncio.wait((leases,), timeout=STOP_SECONDS)
            for service in (store, leases, *helpers):
                service.cancel()
        log.info("daemon_stopped")

    @asynccontextmanager
    async def _connections(self) -> AsyncIterator[None]:
        """Inside the block, connections are opened and lent; afterwards all are closed."""
        try:
            yield
        finally:
            for side in self._shared.sides.values():
                await side.facts.close()
            await self._shared.sweeping.wholes.close()
            lenders = [side.facts.lender for side in self._shared.sides.values()]
            for lender in (*lenders, *self._shared.sweeping.doors):
                await lender.close()

    def status(self) -> DaemonStatus:
        """Everything the daemon reports about itself, at this moment."""
        flows = tuple(flow.status() for flow in self.flows)
        canaries = tuple(canary.status() for canary in self._canaries)
        return DaemonStatus(
            version=__version__,
            name=self._name,
            uptime_seconds=time.monotonic() - self._started,
            first=self._pair.first.address,
            second=self._pair.second.address,
            flows=flows,
            sweeps=tuple(job.sweeper.status() for job in self._tables.jobs.values()),
            canaries=canaries,
            lockers=self._locks.lockers,
            dedup=self._dedup(),
            troubles=self._troubles((flow.trouble for flow in flows), canaries),
            left_out=dict(self._tables.left_out),
        )

    def troubles(self) -> tuple[str, ...]:
        """Why it is unhealthy; empty if it is not. This may be asked often, however many tables there are."""
        return self._troubles((flow.trouble for flow in self.flows), (canary.status() for canary in self._canaries))

    def _troubles(self, flows: Iterable[str], canaries: Iterable[CanaryStatus]) -> tuple[str, ...]:
        return (*filter(None, flows), *filter(None, map(_silence, canaries)), *self._unknown())

    def compare(self, tables: Collection[str] = ()) -> list[str]:
        """Compare both sides of these tables, or of all, as soon as they have caught up, whenever it would be due.

        Old canaries are deleted on one side before the other, so they are not compared.

        Returns:
            The tables that this daemon works on and will compare.
        """
        chosen = set(tables or self._tables.jobs) - {CANARIES}
        jobs = [job for table, job in self._tables.jobs.items() if table in chosen]
        return [job.table for job in jobs if job.sweeper.hurry()]

    def _leads_canaries(self) -> bool:
        """Whether this daemon sends the canaries."""
        return all(flow.progress.state not in ("standby", "starting") for flow in self._tables.jobs[CANARIES].flows)

    def _standing(self) -> bool:
        """Whether a flow has made no progress for a while."""
        return any(flow.progress.idle_seconds > SLOW_SECONDS for flow in self.flows)

    async def _faults(self, *, init: bool) -> list[Stop]:
        pair = self._pair
        if init:
            await asyncio.gather(prepare(pair.first, pair.tables), prepare(pair.second, pair.tables))
        async with self._connections():
            await self._tables.settle()
        return await check_pair(pair.first, pair.second, self._tables.exact, self._shared.limits.connections)

    def _unknown(self) -> tuple[str, ...]:
        return () if self._tables.known else ("it is not known yet which tables SNK_TABLES matches",)

    def _dedup(self) -> DedupStatus:
        size = sum(len(held) for job in self._tables.jobs.values() for held in job.dedup_sets.values())
        return DedupStatus(size, redis=not self._shared.store.error, error=self._shared.store.error)

    def _not_ours(self, table: str, leader: str, error: SnkError | None) -> None:
        """Another daemon works on a table, or the lease holder is unknown."""
        if job := self._tables.jobs.get(table):
            for flow in job.flows:
                flow.stand_by(leader, error)


def _reached(pair: Pair) -> tuple[Server, Server]:
    """Both servers, each over one connection at a time, whoever else is connected."""
    first, second = (replace(server, most=asyncio.Semaphore(1)) for server in (pair.first, pair.second))
    return first, second


def _side(server: Server, facts: TableFacts, limits: Limits) -> Side:
    watch = Watch(server, facts.lender, limits.poll_max_ms / 4000)
    return Side(facts, watch, Rounds(facts.lender, watch), Arrivals(), Lineage())


def _silence(canary: CanaryStatus) -> str:
    """Why a canary is unhealthy, or an empty string."""
    if not canary.late:
        return ""
    why = f": {canary.error}" if canary.error else ""
    way = f"{canary.source}→{canary.destination}"
    return f"no canary has come through {way} for {canary.landed_seconds:.0f} s{why}"
