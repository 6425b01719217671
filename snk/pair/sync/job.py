"""One table, both ways, as long as this daemon has its lease."""

import asyncio
from collections.abc import Sequence

import structlog

from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.sync.flow import Flow
from snk.pair.sync.lease import HeldLease, Leases
from snk.pair.sync.sweeper import Sweeper

STOP_SECONDS = 4.0

log = structlog.get_logger()


class TableJob:
    """Runs the two flows of a table whenever it is this daemon's turn."""

    def __init__(
        self, table: str, flows: Sequence[Flow], sweeper: Sweeper, dedup_sets: Sequence[DedupSet], leases: Leases
    ) -> None:
        self._table = table
        self._flows = flows
        self._sweeper = sweeper
        self._dedup_sets = dedup_sets
        self._leases = leases

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for the lease, work, and wait again, until ``stop`` is set."""
        while held := await self._next_lease(stop):
            for held in self._dedup_sets:
                held.forget()  # somebody else may have worked here in between
            try:
                await self._work(held, stop)
            finally:
                self._leases.end(held)
        for flow in self._flows:
            flow.meter.state = "stopped"

    async def _next_lease(self, stop: asyncio.Event) -> HeldLease | None:
        leading = asyncio.create_task(self._leases.lead(self._table))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((leading, stopping), return_when=asyncio.FIRST_COMPLETED)
            return None if stop.is_set() else leading.result()
        finally:
            leading.cancel()
            stopping.cancel()

    async def _work(self, held: HeldLease, stop: asyncio.Event) -> None:
        """Run both flows until ``stop``, or until the lease is asked for or lost.

        A flow ends by itself only if it is told to or the lease is lost; anything else is a defect, and ends the
        process loudly rather than leave half of it running.
        """
        finish = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            flows = [group.create_task(flow.run(finish, held), name=flow.meter.name) for flow in self._flows]
            sweeping = group.create_task(self._sweeper.run(finish), name=f"the sweeps of {self._table}")
            events = [group.create_task(event.wait()) for event in (stop, held.asked, held.lost)]
            await asyncio.wait((*flows, sweeping, *events), return_when=asyncio.FIRST_COMPLETED)
            if not (stop.is_set() or held.asked.is_set() or held.lost.is_set()):
                ended = [task.get_name() for task in (*flows, sweeping) if task.done()]
                raise RuntimeError(f"ended without being told to: {', '.join(ended)}")
            finish.set()
            _, late = await asyncio.wait(flows, timeout=0 if held.lost.is_set() else STOP_SECONDS)
            for task in (*late, *events, sweeping):
                task.cancel()
        if late and not held.lost.is_set():
            log.warning("flows_cut_short", flows=[task.get_name() for task in late])
