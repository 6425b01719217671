"""One table, in both directions, while this daemon holds its lease."""

import asyncio
from dataclasses import replace

import structlog

from snk.db.server import Server
from snk.pair.dedup.dedup_set import DedupSet
from snk.pair.schema.own import CANARIES
from snk.pair.sync.flow import Flow
from snk.pair.sync.leases import HeldLease
from snk.pair.sync.pair import Pair
from snk.pair.sync.parts import Echoes
from snk.pair.sync.route import Route
from snk.pair.sync.shared import Shared
from snk.pair.sync.sweeper import Sweeper

STOP_SECONDS = 4.0

log = structlog.get_logger()


class TableJob:
    """Runs the two flows of a table and its sweeps whenever this daemon holds the lease.

    Attributes:
        table: by its name in the settings.
        flows: from the first to the second, and back.
        sweeper: of both sides.
        dedup_sets: what each side is known to hold.
    """

    def __init__(self, pair: Pair, table: str, shared: Shared) -> None:
        self.table = table
        servers, most = (pair.first, pair.second), shared.limits.notes
        self.dedup_sets = {server.label: DedupSet(most, shared.notes) for server in servers}
        names = {server.label: pair.notes_name(table, server) for server in (pair.first, pair.second)}
        for label, held in self.dedup_sets.items():
            shared.store.attach(names[label], held)
        self._names, self._store, self._notes = names, shared.store, shared.notes
        sweep_due = asyncio.Event()

        def flow(source: Server, destination: Server) -> Flow:
            route = Route(source, destination, table)
            held = self.dedup_sets[destination.label], self.dedup_sets[source.label]
            echoes = Echoes(*held, names[destination.label], shared.store)
            return Flow(route, echoes, shared.around(route), shared.limits, sweep_due)

        self.flows = (flow(pair.first, pair.second), flow(pair.second, pair.first))
        schedule = shared.schedule
        if table == CANARIES:
            schedule = replace(schedule, every_seconds=0)  # old canaries are deleted on one side before the other
        self.sweeper = Sweeper(self.flows, schedule, shared.sweeping, sweep_due)
        self._leases = shared.leases

    def detach(self) -> None:
        """Let Redis know nothing more of this table, after `run` has ended."""
        for name in self._names.values():
            self._store.detach(name)
        for held in self.dedup_sets.values():
            self._notes.sets.remove(held)

    async def run(self, stop: asyncio.Event) -> None:
        """Wait for the lease, work, and wait again, until ``stop`` is set."""
        while held := await self._next_lease(stop):
            for known in self.dedup_sets.values():
                known.forget()  # another daemon may have worked on this table in between
            try:
                await self._work(held, stop)
            finally:
                self._leases.end(held)
        for flow in self.flows:
            flow.progress.state = "stopped"

    async def _next_lease(self, stop: asyncio.Event) -> HeldLease | None:
        leading = asyncio.create_task(self._leases.lead(self.table))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((leading, stopping), return_when=asyncio.FIRST_COMPLETED)
            return None if stop.is_set() else leading.result()
        finally:
            leading.cancel()
            stopping.cancel()

    async def _work(self, held: HeldLease, stop: asyncio.Event) -> None:
        """Run both flows until ``stop`` is set, or until another daemon asks for the lease or takes it.

        A flow ends only when it is told to or the lease is lost. Any other end is a defect and ends the process with an
        error, rather than leaving half of it running.
        """
        finish = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            flows = [group.create_task(flow.run(finish, held), name=flow.route.name) for flow in self.flows]
            sweeping = group.create_task(self.sweeper.run(finish), name=f"the sweeps of {self.table}")
            events = [group.create_task(event.wait()) for event in (stop, held.asked, held.lost)]
            await asyncio.wait((*flows, sweeping, *events), return_when=asyncio.FIRST_COMPLETED)
            if not (stop.is_set() or held.asked.is_set() or held.lost.is_set()):
                ended = [task.get_name() for task in (*flows, sweeping) if task.done()]
                raise RuntimeError(f"ended without being told to: {', '.join(ended)}")
            finish.set()
            for flow in self.flows:
                flow.wake()
            _, late = await asyncio.wait(flows, timeout=0 if held.lost.is_set() else STOP_SECONDS)
            for task in (*late, *events, sweeping):
                task.cancel()
        if late and not held.lost.is_set():
            log.warning("flows_cut_short", flows=[task.get_name() for task in late])
