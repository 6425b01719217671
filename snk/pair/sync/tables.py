"""The tables that a daemon works on, a job each; the set changes while the daemon runs.

If SNK_TABLES has patterns, one statement asks each server every few seconds which tables there are. One that a pattern
matches, that both sides have and that can be synced is taken up. One that neither side has any more, or that is not
selected any more, is let go: its flows finish their batches, its lease is released, and its marks stay. A table that
one side lacks keeps its job: its flows say why they pause.

A table that only a pattern matches and that is unfit is left out, and said once. It is looked at again as soon as its
definition seems to have changed; a few others are looked at again each time, because a change of rights, for example,
does not show. Exact names are what somebody asked for by name: if one of them is unfit, the start fails, and a new
selection is refused as a whole.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

import structlog

from snk.db.lender import Lent
from snk.errors import SettingsError, SnkError
from snk.log import Reminder
from snk.pair.core.selection import Chosen, Selection
from snk.pair.sync.job import TableJob
from snk.pair.sync.matching import Sides, lacking, look_up, reasons_against
from snk.pair.sync.pair import Pair
from snk.pair.sync.shared import Shared

LOOK_SECONDS = 5.0
NOTHING_LEFT = "SNK_TABLES excludes every table that it names"
AGAIN_AT_ONCE = 20  # unfit tables that are looked at again each time although nothing seems to have changed

log = structlog.get_logger()


class Tables:
    """The jobs of one daemon.

    Attributes:
        jobs: by the table's name in the settings; by its full name if only a pattern matches it.
        left_out: the tables that only a pattern matches and that cannot be synced, with the reason.
        known: whether it is known which tables are selected.
    """

    def __init__(self, pair: Pair, shared: Shared, always: tuple[str, ...]) -> None:
        """Assign.

        Args:
            pair: the servers, and the tables by their exact names.
            shared: what all tables share.
            always: tables that are always worked on, besides.
        """
        self._pair = pair
        self._shared = shared
        self._always = always
        self._selection = self._wanted = Selection(pair.tables)
        self.jobs: dict[str, TableJob] = {}
        self.left_out: dict[str, str] = {}
        self.known = True
        self._versions: dict[str, str] = {}  # of the unfit tables, the one looked at longest ago first
        self._due: frozenset[str] = frozenset()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stops: dict[str, asyncio.Event] = {}
        self._look_now = asyncio.Event()
        self._reminder = Reminder()
        self._make((*pair.tables, *always))

    @property
    def exact(self) -> tuple[str, ...]:
        """The tables that are there by their exact names, and must be fit."""
        return (*(table for table in self.jobs if table in self._selection.exact), *self._always)

    def select(self, selection: Selection) -> None:
        """Work on the tables of this selection from the next look on."""
        self._wanted = selection
        if self._group is None:
            self.known = selection.plain
        self._look_now.set()

    async def settle(self) -> None:
        """Look, before the run, which tables are selected.

        Raises:
            Wait: a server cannot be reached.
            SettingsError: the selection excludes everything.
        """
        wanted = self._wanted
        if wanted.plain and wanted == self._selection:
            return
        sides, chosen = await self._looked(wanted)
        fit = await self._fit(sides, chosen.matched, chosen)
        if not (chosen.exact or wanted.patterns):
            raise SettingsError(NOTHING_LEFT, hint="List at least one table")
        self._tell_of(table for table in fit if table not in self.jobs)
        for job in self.jobs.values():
            job.detach()
        self._selection, self.jobs, self.known = wanted, {}, True
        self._make((*chosen.exact, *fit, *self._always))
        if not self.jobs:
            log.warning("no_table_matches")

    async def run(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        """Run the jobs in a group, and change them, until ``stop`` is set; then wait until all have ended."""
        self._group = group
        for table in self.jobs:
            self._begin(table)
        looking = group.create_task(self._follow())
        await stop.wait()
        looking.cancel()
        for event in self._stops.values():
            event.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _follow(self) -> None:
        owed = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if owed or self._selection.patterns else None):
                    await self._look_now.wait()
            self._look_now.clear()
            owed = True
            try:
                await self._look()
                owed = False
            except SnkError as error:
                if self._reminder.due(str(error)):
                    log.warning("tables_unknown", error=str(error))
            else:
                self._reminder.over()

    async def _look(self) -> None:
        """Look which tables are selected, and change the jobs accordingly."""
        wanted = self._wanted
        sides, chosen = await self._looked(wanted)
        if wanted != self._selection:
            left = chosen.exact or wanted.patterns
            if fault := await self._fault(sides, chosen) if left else NOTHING_LEFT:
                log.error("settings_refused", error=fault)
                if self._wanted == wanted:
                    self._wanted = self._selection
                return
            self._selection = wanted
        for table in self.jobs.keys() - {*chosen.tables, *self._always}:
            self._let_go(table)
        new = [table for table in chosen.tables if table not in self.jobs and table not in self._tasks]
        named = [table for table in new if table in chosen.exact]
        fit = named + await self._fit(sides, [table for table in new if table not in named], chosen)
        self._make(fit)
        self._tell_of(fit)
        for table in fit:
            self._begin(table)

    async def _looked(self, selection: Selection) -> tuple[Sides, Chosen]:
        """Both sides, and the tables that are selected there; unfit ones that are not are forgotten."""
        lenders = [side.facts.lender for side in self._shared.sides.values()]
        first, second = [await Lent.of(lender) for lender in lenders]
        chosen = await look_up((first, second), selection)
        for table in self.left_out.keys() - set(chosen.matched):
            del self.left_out[table]
            self._versions.pop(table, None)
        self._due = frozenset(list(self._versions)[:AGAIN_AT_ONCE])
        return (first, second), chosen

    async def _fault(self, sides: Sides, chosen: Chosen) -> str:
        """Why a new selection is refused, or an empty string."""
        reasons = await reasons_against(sides, [table for table in chosen.exact if table not in self.jobs])
        return "; ".join((*chosen.doubled, *reasons.values()))

    async def _fit(self, sides: Sides, tables: Sequence[str], chosen: Chosen) -> list[str]:
        """Those of some tables that only patterns match which can be synced; for others, the reason is said once."""
        reasons = {table: lacking(table, chosen.lacking[table]) for table in tables if table in chosen.lacking}
        for table in tables:
            if table not in self._due and self._versions.get(table) == chosen.versions[table]:
                reasons.setdefault(table, self.left_out[table])
        asked = [table for table in tables if table not in reasons]
        found = await reasons_against(sides, asked)
        for table in (*asked, *chosen.lacking):
            self._versions.pop(table, None)
        self._versions |= {table: chosen.versions[table] for table in found}
        reasons |= found
        for table, reason in reasons.items():
            if reason != self.left_out.get(table):
                log.warning("table_left_out", table=table, reason=reason)
        fit = [table for table in tables if table not in reasons]
        self.left_out = {table: reason for table, reason in {**self.left_out, **reasons}.items() if table not in fit}
        return fit

    @staticmethod
    def _tell_of(tables: Iterable[str]) -> None:
        for table in tables:
            log.info("table_taken_up", table=table)

    def _make(self, tables: Sequence[str]) -> None:
        """Make jobs; what each may hold in memory depends on how many there are."""
        self.jobs |= {table: TableJob(self._pair, table, self._shared) for table in tables}
        self._shared.room.share(len(self.jobs))

    def _begin(self, table: str) -> None:
        assert self._group  # noqa: S101 - `run` calls this
        self._shared.leases.admit(table)
        self._stops[table] = stop = asyncio.Event()
        self._tasks[table] = self._group.create_task(self._kept(self.jobs[table], stop))

    def _let_go(self, table: str) -> None:
        """Have a job end; the table is not taken up again before it has ended."""
        self._stops[table].set()
        del self.jobs[table]
        self._shared.room.share(len(self.jobs))

    async def _kept(self, job: TableJob, stop: asyncio.Event) -> None:
        """Run a job to its end; if the daemon goes on, forget the table."""
        await job.run(stop)
        if job.table not in self.jobs:
            self._shared.leases.dismiss(job.table)
            job.detach()
            del self._stops[job.table], self._tasks[job.table]
            self._look_now.set()  # it may have been selected again meanwhile
            log.info("table_let_go", table=job.table)
