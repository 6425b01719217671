"""A node of the platform: takes runs that are due, calls their consumers, and sees whose turn it is.

Nodes know nothing of each other: each finds in the database what is to be done. One that dies leaves runs whose leases
end, and another one takes them. One that was asleep finds that the fences of its runs have grown, and changes nothing.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform import resolving, turns
from snk.batch.platform.absence import arrive
from snk.batch.platform.claims import Claim, claim, release, renew
from snk.batch.platform.nodes import SAY_SECONDS, leave, say
from snk.batch.platform.rounds import Rounds
from snk.batch.platform.stopping import Stopping
from snk.batch.platform.ticking import Ticking
from snk.batch.state import LIVE
from snk.db.pool import Pool
from snk.errors import SnkError
from snk.log import Reminder
from snk.pause import pause

RENEWALS = 3
"""So often in the time of a lease it is renewed, and in the time until a node counts as dead it says that it lives."""
GRACE_SECONDS = 3.0
"""How long calls that are under way may take when the node is told to stop."""
LEAVE_SECONDS = 1.0
"""How long the database may take to hear that it has stopped."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How a node works.

    Attributes:
        calls: how many consumers it calls at once.
        lease_seconds: how long it holds a run unless that is prolonged.
        poll_seconds: between looks for what is due.
    """

    calls: int = 100
    lease_seconds: float = 6.0
    poll_seconds: float = 0.5


class Node:
    """One node.

    Attributes:
        name: unlike those of all others.
        wake: set when something may be due.
        turn: set when it may be the turn of a run.
        held: the fences of the runs that it holds.
    """

    def __init__(self, address: str, pool: Pool, renewals: Pool, rounds: Rounds, pace: Pace) -> None:
        """Assign.

        Args:
            address: where it is reached.
            pool: connections to the platform's database.
            renewals: another one, of a single connection: what is held is prolonged however busy the others are.
            rounds: call consumers.
            pace: how it works.
        """
        self.name = rounds.node
        self.wake = asyncio.Event()
        self.turn = asyncio.Event()
        self.held: dict[int, int] = {}
        self._address = address
        self._pool = pool
        self._renewals = renewals
        self._rounds = rounds
        self._ticking = Ticking(pool, rounds.node)
        self._stopping = Stopping(pool, rounds.caller)
        self._calls = pace.calls
        self._lease_seconds = pace.lease_seconds
        self._poll = pace.poll_seconds
        self._reminder = Reminder()
        self._under_way: set[asyncio.Task[None]] = set()

    def hurry(self) -> None:
        """Look at once whose turn it is, and call what is due then."""
        self.turn.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; then calls have a few seconds to end, and runs whose calls take longer are free."""
        await self._tell(lambda connection: arrive(connection, self.name, self._address, self._lease_seconds))
        log.info("node_started", node=self.name)
        async with asyncio.TaskGroup() as group:
            renewing = group.create_task(self._renew())
            working = [group.create_task(self._take(stop, group)), group.create_task(self._give_turns(stop, group))]
            await stop.wait()
            fences = await self._end(working)
            renewing.cancel()
        await self._leave(fences)
        log.info("node_stopped", node=self.name)

    async def _take(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        """Take what is due, and call its consumers."""
        while not stop.is_set():
            for taken in await self._claim():
                self._begin(group, self._round(taken))
            await _either(stop, self.wake, self._poll)
            self.wake.clear()

    def _begin(self, group: asyncio.TaskGroup, work: Coroutine[None, None, None]) -> None:
        """Begin what nobody waits for but `_end`."""
        under_way = group.create_task(work)
        self._under_way.add(under_way)
        under_way.add_done_callback(self._under_way.discard)

    async def _end(self, working: Sequence[asyncio.Task[None]]) -> dict[int, int]:
        """Let what is under way end, and break off what takes too long; return the fences of runs held still."""
        deadline = asyncio.get_running_loop().time() + GRACE_SECONDS
        await asyncio.wait(working, timeout=GRACE_SECONDS)  # first, as they begin calls
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        fences = dict(self.held)
        for each in (*working, *self._under_way):
            each.cancel()
        return fences

    async def _leave(self, fences: Mapping[int, int]) -> None:
        """Give back what is held, and say that this node has left, if the database hears it in time."""
        for run in sorted(fences):
            log.warning("call_broken_off", run=run, reason="this node stops", effect="another node takes the run")
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._tell(lambda connection: release(connection, self.name, fences))
                await self._tell(lambda connection: leave(connection, self.name))
        except TimeoutError:
            log.warning("database_silent", effect="runs that were held are free when their leases end")

    async def _claim(self) -> list[Claim]:
        free = self._calls - len(self.held)
        if free <= 0:
            return []
        try:
            async with self._pool.connection("statement") as connection:
                taken = await claim(connection, self.name, free, self._lease_seconds)
        except SnkError as error:
            self._failed(error)
            return []
        self.held |= {each.run: each.fence for each in taken}
        if len(taken) == free:
            self.wake.set()
        return taken

    async def _round(self, taken: Claim) -> None:
        try:
            if await self._rounds.round(taken):
                self.hurry()  # another run may have waited for its end
        except SnkError as error:
            self._failed(error)
        except Exception:
            log.exception("round_failed", run=taken.run, task=taken.task, effect="it is free when its lease ends")
        finally:
            if self.held.get(taken.run) == taken.fence:
                del self.held[taken.run]
            self.wake.set()

    async def _renew(self) -> None:
        """Prolong what is held, as long as anything may be; a run that is lost is told when its call is to be noted."""
        while True:
            await asyncio.sleep(min(self._lease_seconds / RENEWALS, SAY_SECONDS))
            fences = dict(self.held)
            try:
                async with self._renewals.connection("statement") as connection:
                    await say(connection, self.name, self._address)
                    await renew(connection, self.name, fences, self._lease_seconds)
            except SnkError as error:
                self._failed(error)

    async def _give_turns(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        """See what is due by its calendar, whose turn it is, what is overdue, which groups and alerts are over, and
        which consumers do not know yet that their runs have ended.
        """
        while not stop.is_set():
            began = time.monotonic()
            self.turn.clear()  # before the look: what is set meanwhile makes another one
            try:
                await self._turns()
                await self._try("stops", partial(self._stop_work, group))
            except SnkError as error:
                self._failed(error)
            took = time.monotonic() - began
            await pause(stop, took)  # half of the time at most goes into looks, however much happens
            await _either(stop, self.turn, max(0.01, self._poll - 2 * took))

    async def _turns(self) -> None:
        await self._give()
        async with self._pool.connection("statement") as connection:
            for run, task in await turns.overdue(connection):
                log.warning("run_overdue", run=run, task=task)
            groups = await turns.groups(connection)
        await self._try("alerts", lambda: resolving.sweep(self._pool))
        for run in groups:
            await self._try(f"run {run}", partial(self._tend, run))
        await self._try("calendars", self._tick)  # last: what somebody waits for has its turn before

    async def _try(self, what: str, do: Callable[[], Awaitable[None]]) -> None:
        """Do a part of a look; if it fails, the others are done all the same, and it is tried again with the next."""
        try:
            await do()
        except SnkError as error:
            self._failed(error)
        except Exception:
            log.exception("look_failed", at=what, effect="it is tried again")

    async def _stop_work(self, group: asyncio.TaskGroup) -> None:
        """Tell consumers of runs that the platform has ended, beside the calls that are due."""
        for owed in await self._stopping.take():
            self._begin(group, self._stopping.tell(owed))

    async def _tend(self, run: int) -> None:
        async with self._pool.begin() as connection:
            changed = await turns.tend(connection, run, self.name)
        if changed is not None and changed not in LIVE:
            self.hurry()

    async def _give(self) -> None:
        async with self._pool.connection("statement") as connection:
            while await turns.give(connection):  # the turn of a group makes it that of its tasks
                self.wake.set()

    async def _tick(self) -> None:
        if await self._ticking.tick(self._give):
            self.hurry()

    async def _tell(self, do: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """Note in the tables that this node is there, or is not; without a database it works all the same."""
        try:
            async with self._pool.begin() as connection:
                await do(connection)
        except SnkError as error:
            self._failed(error)

    def _failed(self, error: SnkError) -> None:
        if self._reminder.due("database"):
            log.warning("database_failed", error=str(error), effect="it is tried again")


async def _either(stop: asyncio.Event, event: asyncio.Event, seconds: float) -> None:
    """Wait for one of two events, so many seconds at most."""
    waiting = [asyncio.create_task(each.wait()) for each in (stop, event)]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
