"""The daemon: a job per table, each with two flows, started together and stopped together.

`asyncio.TaskGroup` is the start and the stop. A job survives every error of a server; whatever else goes wrong in
one of them is a defect, and ends the process loudly rather than leave half of it running.
"""

import asyncio
import hashlib
import os
import socket
import time
from dataclasses import dataclass

import structlog

from snk import __version__
from snk.core.report import STUCK_SECONDS, DaemonStatus, DedupStatus, FlowStatus
from snk.db.engine import Server
from snk.dedup.behind import Behind
from snk.dedup.known import Known
from snk.errors import SnkError, Stop, Wait
from snk.sync.flow import REMIND_SECONDS, Echoes, Flow, Limits, pause
from snk.sync.job import STOP_SECONDS, TableJob
from snk.sync.lease import Leases
from snk.sync.link import check_pair
from snk.sync.prepare import prepare
from snk.sync.sweeper import Pace, Sweeper

MOST_NOTES = 200_000
RETRY_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pair:
    """What to keep equal."""

    first: Server
    second: Server
    tables: tuple[str, ...]


class Daemon:
    """Keeps the tables of a pair equal until told to stop."""

    def __init__(
        self, pair: Pair, limits: Limits, redis_dsn: str, *, name: str = "", sweeps: Pace | None = None
    ) -> None:
        self._pair = pair
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._started = time.monotonic()
        self._behind = Behind(redis_dsn)
        self._notes: list[Known] = []
        self._turns = asyncio.Lock()
        self._flows: dict[str, list[Flow]] = {}
        self._leases = Leases(pair.first, self._name, pair.tables, self._not_ours)
        self._sweepers: list[Sweeper] = []
        self._jobs = [self._job(table, limits, sweeps or Pace()) for table in pair.tables]

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
        told, told_at = "", 0.0
        while not stop.is_set():
            try:
                faults = await self._faults(init=init)
            except Wait as error:
                if str(error) != told or time.monotonic() - told_at > REMIND_SECONDS:
                    told, told_at = str(error), time.monotonic()
                    log.warning("server_awaited", error=told)
                for flow in self.flows:
                    flow.meter.failed(error)
                await pause(stop, RETRY_SECONDS)
                continue
            for fault in faults[1:]:
                log.error("pair_unfit", error=str(fault))
            if faults:
                raise faults[0]
            return

    async def run(self, stop: asyncio.Event) -> None:
        """Run all jobs until ``stop`` is set; then let each flow finish the batch in hand, for a few seconds."""
        async with self._behind, asyncio.TaskGroup() as group:
            behind = group.create_task(self._behind.run())
            leases = group.create_task(self._leases.run())
            jobs = [group.create_task(job.run(stop)) for job in self._jobs]
            await stop.wait()
            log.info("daemon_stopping")
            self._leases.retire()
            await asyncio.wait(jobs)
            self._leases.close()
            await asyncio.wait((leases,), timeout=STOP_SECONDS)
            for service in (behind, leases):
                service.cancel()
        log.info("daemon_stopped")

    def status(self) -> DaemonStatus:
        """Everything the outside may know, at this moment."""
        flows = tuple(flow.meter.status() for flow in self.flows)
        return DaemonStatus(
            version=__version__,
            name=self._name,
            uptime_seconds=time.monotonic() - self._started,
            first=self._pair.first.address,
            second=self._pair.second.address,
            flows=flows,
            sweeps=tuple(sweeper.status() for sweeper in self._sweepers),
            dedup=DedupStatus(sum(map(len, self._notes)), redis=not self._behind.error, error=self._behind.error),
            troubles=tuple(trouble for flow in flows if (trouble := _trouble(flow))),
        )

    async def _faults(self, *, init: bool) -> list[Stop]:
        pair = self._pair
        if init:
            await asyncio.gather(prepare(pair.first, pair.tables), prepare(pair.second, pair.tables))
        return await check_pair(pair.first, pair.second, pair.tables)

    def _job(self, table: str, limits: Limits, sweeps: Pace) -> TableJob:
        first, second = self._pair.first, self._pair.second
        known = {server.label: Known(MOST_NOTES) for server in (first, second)}
        names = {server.label: self._redis_name(table, server) for server in (first, second)}
        for label, notes in known.items():
            self._notes.append(notes)
            self._behind.attach(names[label], notes)
        self._flows[table] = [
            Flow(
                source,
                destination,
                table,
                Echoes(known[destination.label], known[source.label], names[destination.label], self._behind),
                limits,
                turns=self._turns,
            )
            for source, destination in ((first, second), (second, first))
        ]
        sweeper = Sweeper(first, second, table, self._flows[table], sweeps)
        self._sweepers.append(sweeper)
        return TableJob(table, self._flows[table], sweeper, tuple(known.values()), self._leases)

    def _not_ours(self, table: str, leader: str, error: SnkError | None) -> None:
        """Another daemon works on a table, or nobody can tell who does."""
        for flow in self._flows[table]:
            flow.stand_by(leader, error)

    def _redis_name(self, table: str, holder: Server) -> str:
        """What these notes are called in Redis: several pairs may share one."""
        pair = hashlib.sha256(f"{self._pair.first.address} {self._pair.second.address}".encode()).hexdigest()[:16]
        return f"{pair}:{table}:{holder.label}"


def _trouble(flow: FlowStatus) -> str:
    """Why a flow is not healthy, or an empty string."""
    if flow.state not in ("running", "standby"):
        return f"{flow.name} is {flow.state}: {flow.error}" if flow.error else f"{flow.name} is {flow.state}"
    if flow.progress_seconds > STUCK_SECONDS:
        return f"{flow.name} has not moved for {flow.progress_seconds:.0f} s"
    return ""
