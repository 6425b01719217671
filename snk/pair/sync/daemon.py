"""The daemon: a job per table, each with two flows, started together and stopped together.

`asyncio.TaskGroup` is the start and the stop. A job survives every error of a server; whatever else goes wrong in
one of them is a defect, and ends the process loudly rather than leave half of it running.
"""

import asyncio
import os
import secrets
import socket
import time
from dataclasses import replace

import structlog

from snk import __version__
from snk.db.engine import Server
from snk.errors import SnkError, Stop, Wait
from snk.log import Reminder
from snk.pair.core.report import STANDING_SECONDS, CanaryStatus, DaemonStatus, DedupStatus, FlowStatus
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.dedup.redis_store import RedisStore
from snk.pair.schema.own import CANARIES
from snk.pair.sync.arrivals import Arrivals
from snk.pair.sync.canary import CanaryProbe
from snk.pair.sync.flow import Around, Echoes, Flow, Limits
from snk.pair.sync.job import STOP_SECONDS, TableJob
from snk.pair.sync.lease import Leases
from snk.pair.sync.lineage import Lineage
from snk.pair.sync.link import check_pair
from snk.pair.sync.locks import LockWatch
from snk.pair.sync.pair import Pair
from snk.pair.sync.pause import pause
from snk.pair.sync.prepare import prepare
from snk.pair.sync.sweeper import Sweeper, SweepSchedule
from snk.pair.sync.turns import Turns
from snk.pair.verify.throttle import throttles_of

RETRY_SECONDS = 1.0
SLOW_SECONDS = 2.0

log = structlog.get_logger()


class Daemon:
    """Keeps the tables of a pair equal until told to stop."""

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
        if canary_seconds:
            pair = replace(pair, tables=(*pair.tables, CANARIES))
        self._pair = pair
        # Containers share names and process numbers.
        self._name = name or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._started = time.monotonic()
        self._store = RedisStore(redis_dsn)
        self._dedup_sets: list[DedupSet] = []
        self._turns = Turns()
        self._arrivals = {server.label: Arrivals() for server in (pair.first, pair.second)}
        self._lineages = {server.label: Lineage() for server in (pair.first, pair.second)}
        self._flows: dict[str, list[Flow]] = {}
        self._leases = Leases((pair.first, pair.second), self._name, pair.tables, self._not_ours)
        self._sweepers: list[Sweeper] = []
        there, back = (pair.first, pair.second), (pair.second, pair.first)
        self._canaries = [CanaryProbe(*ends, canary_seconds) for ends in (there, back) if canary_seconds]
        self._locks = LockWatch(pair.first, pair.second)
        limits = limits.shared_by(len(pair.tables))
        sweeps = sweeps or SweepSchedule()
        self._throttles = throttles_of(sweeps.share)
        self._jobs = [self._job(table, limits, sweeps) for table in pair.tables]

    @property
    def flows(self) -> list[Flow]:
        """All flows, there and back for one table after the other."""
        return [flow for flows in self._flows.values() for flow in flows]

    async def wait_until_fit(self, stop: asyncio.Event, *, init: bool = False) -> None:
        """Wait for both servers, then see that this pair and these tables can be synced.

        Args:
            stop: ends the waiting.
            init: first make what is missing.

        Raises:
            PairUnfit, TableUnfit: they can't; a person has to change something.
        """
        reminder, looked_twice = Reminder(), False
        while not stop.is_set():
            try:
                faults = await self._faults(init=init)
            except Wait as error:
                if reminder.due(str(error)):
                    log.warning("server_awaited", error=str(error))
                for flow in self.flows:
                    flow.meter.failed(error)
                await pause(stop, RETRY_SECONDS)
                continue
            if faults and not looked_twice:
                looked_twice = True  # a table may have been looked at before and after it was altered
                await pause(stop, RETRY_SECONDS)
                continue
            for fault in faults[1:]:
                log.error("pair_unfit", error=str(fault))
            if faults:
                raise faults[0]
            return

    async def run(self, stop: asyncio.Event) -> None:
        """Run all jobs until ``stop`` is set; then let each flow finish the batch in hand, for a few seconds."""
        async with self._store, asyncio.TaskGroup() as group:
            store = group.create_task(self._store.run())
            leases = group.create_task(self._leases.run())
            helpers = [group.create_task(canary.run(stop, self._leads_canaries)) for canary in self._canaries]
            helpers.append(group.create_task(self._locks.run(stop, self._standing)))
            jobs = [group.create_task(job.run(stop)) for job in self._jobs]
            await stop.wait()
            log.info("daemon_stopping")
            self._leases.retire()
            await asyncio.wait(jobs)
            self._leases.close()
            self._store.close()
            await asyncio.wait((leases,), timeout=STOP_SECONDS)
            for service in (store, leases, *helpers):
                service.cancel()
        log.info("daemon_stopped")

    def status(self) -> DaemonStatus:
        """Everything the outside may know, at this moment."""
        flows = tuple(flow.meter.status() for flow in self.flows)
        canaries = tuple(canary.status() for canary in self._canaries)
        return DaemonStatus(
            version=__version__,
            name=self._name,
            uptime_seconds=time.monotonic() - self._started,
            first=self._pair.first.address,
            second=self._pair.second.address,
            flows=flows,
            sweeps=tuple(sweeper.status() for sweeper in self._sweepers),
            canaries=canaries,
            lockers=self._locks.lockers,
            dedup=DedupStatus(sum(map(len, self._dedup_sets)), redis=not self._store.error, error=self._store.error),
            troubles=(*filter(None, map(_trouble, flows)), *filter(None, map(_silence, canaries))),
        )

    def _leads_canaries(self) -> bool:
        """Whether the canaries are this daemon's."""
        return all(flow.meter.state not in ("standby", "starting") for flow in self._flows[CANARIES])

    def _standing(self) -> bool:
        """Whether a flow has not moved for a while."""
        return any(flow.meter.status().progress_seconds > SLOW_SECONDS for flow in self.flows)

    async def _faults(self, *, init: bool) -> list[Stop]:
        pair = self._pair
        if init:
            await asyncio.gather(prepare(pair.first, pair.tables), prepare(pair.second, pair.tables))
        return await check_pair(pair.first, pair.second, pair.tables)

    def _job(self, table: str, limits: Limits, sweeps: SweepSchedule) -> TableJob:
        first, second = self._pair.first, self._pair.second
        sweep_due = asyncio.Event()
        dedup = {server.label: DedupSet(limits.notes) for server in (first, second)}
        names = {server.label: self._pair.notes_name(table, server) for server in (first, second)}
        for label, held in dedup.items():
            self._dedup_sets.append(held)
            self._store.attach(names[label], held)
        self._flows[table] = [
            Flow(
                source,
                destination,
                table,
                Echoes(dedup[destination.label], dedup[source.label], names[destination.label], self._store),
                limits,
                around=self._around(source, destination),
                sweep_due=sweep_due,
            )
            for source, destination in ((first, second), (second, first))
        ]
        if table == CANARIES:
            sweeps = replace(sweeps, every_seconds=0)  # old ones are deleted on one side before the other
        flows = self._flows[table]
        sweeper = Sweeper(first, second, table, flows, sweeps, throttles=self._throttles, sweep_due=sweep_due)
        self._sweepers.append(sweeper)
        return TableJob(table, flows, sweeper, tuple(dedup.values()), self._leases)

    def _around(self, source: Server, destination: Server) -> Around:
        return Around(
            self._turns,
            self._arrivals[destination.label],
            self._lineages[source.label],
            self._lineages[destination.label],
        )

    def _not_ours(self, table: str, leader: str, error: SnkError | None) -> None:
        """Another daemon works on a table, or nobody can tell who does."""
        for flow in self._flows[table]:
            flow.stand_by(leader, error)


def _trouble(flow: FlowStatus) -> str:
    """Why a flow is not healthy, or an empty string. Those that wait for others are, as long as these are."""
    if flow.awaits:
        return ""
    if not flow.flowing:
        return f"{flow.name} is {flow.state}: {flow.error}" if flow.error else f"{flow.name} is {flow.state}"
    if flow.progress_seconds > STANDING_SECONDS:
        return f"{flow.name} has not moved for {flow.progress_seconds:.0f} s"
    return ""


def _silence(canary: CanaryStatus) -> str:
    """Why a canary is not healthy, or an empty string."""
    if not canary.late:
        return ""
    why = f": {canary.error}" if canary.error else ""
    way = f"{canary.source}→{canary.destination}"
    return f"no canary has come through {way} for {canary.landed_seconds:.0f} s{why}"
