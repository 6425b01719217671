"""The daemon: two flows per table, started together and stopped together.

`asyncio.TaskGroup` is the start and the stop. A flow survives every error of a server; whatever else goes wrong in
one of them is a defect, and ends the process loudly rather than leave half of it running.
"""

import asyncio
import hashlib
import time
from dataclasses import dataclass

import structlog

from snk import __version__
from snk.core.report import STUCK_SECONDS, DaemonStatus, DedupStatus, FlowStatus
from snk.db.engine import Server
from snk.dedup.behind import Behind
from snk.dedup.known import Known
from snk.errors import Wait
from snk.sync.flow import Echoes, Flow, Limits, pause
from snk.sync.link import check_pair
from snk.sync.prepare import prepare

MOST_NOTES = 200_000
STOP_SECONDS = 4.0
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

    def __init__(self, pair: Pair, limits: Limits, redis_dsn: str) -> None:
        self._pair = pair
        self._started = time.monotonic()
        self._behind = Behind(redis_dsn)
        self._notes: list[Known] = []
        self._turns = asyncio.Lock()
        self.flows = [flow for table in pair.tables for flow in self._both_ways(table, limits)]

    async def wait_until_fit(self, stop: asyncio.Event, *, init: bool = False) -> None:
        """Wait for both servers, then see that this pair and these tables can be synced.

        Args:
            stop: ends the waiting.
            init: first make what is missing.

        Raises:
            PairUnfit, TableUnfit: they can't; a person has to change something.
        """
        pair, told = self._pair, ""
        while not stop.is_set():
            try:
                if init:
                    await asyncio.gather(prepare(pair.first, pair.tables), prepare(pair.second, pair.tables))
                faults = await check_pair(pair.first, pair.second, pair.tables)
            except Wait as error:
                if str(error) != told:
                    told = str(error)
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
        """Run all flows until ``stop`` is set; then let each finish the batch in hand, for at most four seconds."""
        async with self._behind, asyncio.TaskGroup() as group:
            behind = group.create_task(self._behind.run())
            flows = [group.create_task(flow.run(stop), name=flow.meter.name) for flow in self.flows]
            stopping = group.create_task(stop.wait())
            await asyncio.wait((stopping, *flows), return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                ended = [task.get_name() for task in flows if task.done()]
                raise RuntimeError(f"ended without being told to: {', '.join(ended)}")
            log.info("daemon_stopping")
            _, late = await asyncio.wait(flows, timeout=STOP_SECONDS)
            for task in (behind, *late):
                task.cancel()
        log.info("daemon_stopped", cut_short=[task.get_name() for task in late])

    def status(self) -> DaemonStatus:
        """Everything the outside may know, at this moment."""
        flows = tuple(flow.meter.status() for flow in self.flows)
        return DaemonStatus(
            version=__version__,
            uptime_seconds=time.monotonic() - self._started,
            first=self._pair.first.address,
            second=self._pair.second.address,
            flows=flows,
            dedup=DedupStatus(sum(map(len, self._notes)), redis=not self._behind.error, error=self._behind.error),
            troubles=tuple(trouble for flow in flows if (trouble := _trouble(flow))),
        )

    def _both_ways(self, table: str, limits: Limits) -> list[Flow]:
        first, second = self._pair.first, self._pair.second
        known = {server.label: Known(MOST_NOTES) for server in (first, second)}
        names = {server.label: self._name(table, server) for server in (first, second)}
        for label, notes in known.items():
            self._notes.append(notes)
            self._behind.attach(names[label], notes)
        return [
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

    def _name(self, table: str, holder: Server) -> str:
        """What these notes are called in Redis: several pairs may share one."""
        pair = hashlib.sha256(f"{self._pair.first.address} {self._pair.second.address}".encode()).hexdigest()[:16]
        return f"{pair}:{table}:{holder.label}"


def _trouble(flow: FlowStatus) -> str:
    """Why a flow is not healthy, or an empty string."""
    if flow.state != "running":
        return f"{flow.name} is {flow.state}: {flow.error}" if flow.error else f"{flow.name} is {flow.state}"
    if flow.progress_seconds > STUCK_SECONDS:
        return f"{flow.name} has not moved for {flow.progress_seconds:.0f} s"
    return ""
