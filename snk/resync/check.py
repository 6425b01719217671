"""Compares both sides of a project, and looks again at what differs before it counts.

A live service makes Redis ahead of the database for a moment: it counts first and writes second. So the database is
read first and Redis second. Then a counter behind the rows is a difference at once, because those rows were counted
before they were read. A counter ahead of the rows is looked at again after the grace period: what was counted when
Redis was read must be in the database by then.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from snk.db.server import Server
from snk.errors import ProjectUnfit
from snk.resync.counters import Counters
from snk.resync.database import Held, held, method_of, project_ids, snapshot
from snk.resync.model import Difference, Limits, Method, Part, Repair, Task, differences, settled, skipped
from snk.resync.reading import Expected, Reading, Scan, read_pointer
from snk.resync.tables import Tables
from snk.resync.together import two


@dataclass(frozen=True, slots=True)
class Checked:
    """Both sides of a project, compared.

    Attributes:
        held: what the database holds.
        tasks: both sides of each task.
        differences: those that count.
        unreadable: the keys whose names or values are no numbers, and why.
        expiring: the counters that have a time to live, with its seconds; when it ends, the counter is lost.
        skipped: workers whose counter is ahead although nothing is missing, by task.
    """

    held: Held
    tasks: tuple[Task, ...]
    differences: tuple[Difference, ...]
    unreadable: Mapping[str, str]
    expiring: Mapping[str, int]
    skipped: Mapping[int, list[int]]

    @property
    def equal(self) -> bool:
        """Whether both sides say the same."""
        return not self.differences and not self.unreadable

    @property
    def uncounted(self) -> bool:
        """Whether there are rows and not one counter: then the counters are probably elsewhere."""
        with_rows = [task for task in self.tasks if task.rows]
        return bool(with_rows) and all(_uncounted(task, self.held.method) for task in with_rows)

    def actions(self, part: Part | None = None) -> tuple[Repair, ...]:
        """What repairs the differences of one part, or of all."""
        wanted = [each for each in self.differences if part in (None, each.part)]
        return tuple(action for difference in wanted for action in difference.actions)


def _uncounted(task: Task, method: Method) -> bool:
    if method == "single":
        return task.pointer is None
    counters = [*task.counts.values(), *task.greatest.values()]
    return len(task.counts) >= len(task.rows) and all(each is None for each in counters)


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks projects of one database against one Redis. It only reads."""

    server: Server
    counters: Counters
    found: Tables
    limits: Limits
    grace_seconds: float

    async def check(self, project: str) -> Checked:
        """Compare both sides of a project, twice if they differ.

        Raises:
            ProjectUnfit: there is no such project.
            Unavailable: a server does not answer.
        """
        return await self._check(project, None)

    async def check_all(self) -> AsyncIterator[Checked | ProjectUnfit]:
        """Compare both sides of every project, or tell why one cannot be; the names of counters are scanned once."""
        async with snapshot(self.server) as connection:
            projects = await project_ids(connection, self.found)
        scan = await self._scan()
        for project in projects:
            try:
                yield await self._check(project, scan)
            except ProjectUnfit as error:
                yield error

    async def _check(self, project: str, scan: Scan | None) -> Checked:
        first, scan = await self._first_look(project, scan)
        reads = await self._read(first, scan)
        read_at = time.monotonic()
        if any(differences(each.task, first.method, self.limits) for each in reads):
            await asyncio.sleep(max(0.0, self.grace_seconds - (time.monotonic() - read_at)))
            reads = self._settled(reads, await self._held(project))
        return self._judged(first, reads)

    async def _first_look(self, project: str, scan: Scan | None) -> tuple[Held, Scan]:
        """What the database holds, and the names of counters; both are read at the same time."""
        async with snapshot(self.server) as connection:
            method = await method_of(connection, self.found, project)
        if method == "single" or scan:
            return await self._held(project), scan or Scan(set(), self.found.names)
        # The snapshot ends before a slow scan does: a server ends sessions that are idle in a transaction.
        return await two(self._held(project), self._scan())

    async def _read(self, found: Held, scan: Scan) -> list[Reading]:
        """Read the counters of all tasks; the database was read before."""
        tasks = [(holding, self.found.names.keys_of(holding.task)) for holding in found.tasks]
        if found.method == "single":
            return [await read_pointer(holding, keys, self.counters, self.found) for holding, keys in tasks]
        expected = [Expected(holding, keys) for holding, keys in tasks]
        scan.leave_out(chain.from_iterable(each.known() for each in expected))
        return [await each.read(self.counters, self.found, scan) for each in expected]

    @staticmethod
    def _settled(reads: list[Reading], later: Held) -> list[Reading]:
        holdings = {holding.task: holding for holding in later.tasks}
        return [
            replace(each, task=settled(each.task, later.method, holding.rows, holding.last))
            if (holding := holdings.get(each.task.id))
            else each
            for each in reads
        ]

    async def _scan(self) -> Scan:
        return Scan(await self.counters.names(self.found.names.scanned), self.found.names)

    async def _held(self, project: str) -> Held:
        async with snapshot(self.server) as connection:
            method = await method_of(connection, self.found, project)
            return await held(connection, self.found, project, method)

    def _judged(self, found: Held, reads: list[Reading]) -> Checked:
        tasks = tuple(each.task for each in reads)
        return Checked(
            found,
            tasks,
            tuple(each for task in tasks for each in differences(task, found.method, self.limits)),
            {key: why for each in reads for key, why in each.unreadable.items()},
            {key: left for each in reads for key, left in each.expiring.items()},
            {task.id: behind for task in tasks if (behind := skipped(task, self.limits))},
        )
