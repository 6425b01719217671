"""Applies a plan: its rows in one transaction, then its counters, each only if it still is what the plan says.

Rows come first. If the process ends in between, the rows are in the database and the counters are not raised, and the
next run finds just these counters. The transaction also writes the journal, so a plan is never applied twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.plan import Plan
from snk.db import journal
from snk.db.functions import commit_durably
from snk.db.locks import key_of, try_lock_in_transaction
from snk.db.server import Server
from snk.errors import PlanUnfit, ProjectUnfit
from snk.resync.counters import Counters
from snk.resync.database import held_states, understood
from snk.resync.insert import insert, rows_of
from snk.resync.model import InsertRows, RaiseCounter, Repair
from snk.resync.tables import Tables

Rows = Mapping[tuple[int, int], int]
"""How many rows each source of each task has."""
NOTHING = "Nothing was written. Make a new plan"


def held_by_another(project: str) -> ProjectUnfit:
    """Why a project cannot be written: another run holds it."""
    return ProjectUnfit(f"Another run is writing to project {project!r}", hint="Wait until it has ended")


def in_process(project: str, states: Sequence[str]) -> ProjectUnfit:
    """Why a project cannot be written: the service works on it."""
    hint = "Wait until it is done, or write with --while-live"
    return ProjectUnfit(f"Project {project!r} is in process ({', '.join(states)}), so nothing is written", hint=hint)


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies plans for projects of one database and one Redis.

    Attributes:
        while_live: whether projects in process may be written.
    """

    server: Server
    counters: Counters
    found: Tables
    while_live: bool = False

    async def apply(self, plan: Plan[Repair], *, strictly: bool) -> list[Repair]:
        """Write what the plan says.

        Args:
            plan: of one project, on which the caller holds the lock.
            strictly: write nothing if any before-value no longer holds; otherwise leave out the actions concerned.

        Returns:
            The actions that were overtaken: their before-value no longer held, so nothing was written for them.

        Raises:
            PlanUnfit: the plan was applied before, or a before-value no longer holds. Nothing was written.
        """
        raises = [action for action in plan.actions if isinstance(action, RaiseCounter)]
        if strictly:
            async with understood(self.server), self.server.connect() as connection:
                await journal.refuse_applied(connection, plan)
            await self._refuse_moved(plan)
        overtaken: list[Repair] = [*await self._insert(plan, strictly=strictly)]
        outcomes = await self.counters.raised(raises)
        overtaken += [action for action, outcome in zip(raises, outcomes, strict=True) if outcome == "overtaken"]
        async with understood(self.server), self.server.begin() as connection:
            await journal.finish(connection, plan, overtaken)
        return overtaken

    async def _insert(self, plan: Plan[Repair], *, strictly: bool) -> list[InsertRows]:
        """Insert the rows and write the journal, all or nothing; return the actions that were overtaken."""
        inserts = [action for action in plan.actions if isinstance(action, InsertRows)]
        entry = journal.entry_of(plan)  # before the transaction, which must not be idle for long
        async with understood(self.server), self.server.begin() as connection:
            await commit_durably(connection)
            await self._alone(connection, plan.subject)
            await self._allowed(connection, plan.subject)
            await journal.enter(connection, entry)
            rows = await rows_of(connection, self.found, inserts)
            moved = list(_moved(inserts, rows))
            if moved and strictly:
                has, first = rows.get((moved[0].task, moved[0].source), 0), moved[0]
                what = f"Source {first.source} of task {first.task} has {has} rows; the plan expects {first.before}"
                raise PlanUnfit(what, hint=NOTHING)
            left_out = set(moved)
            wanted = [action for action in inserts if action not in left_out]
            await insert(connection, self.found, plan.subject, wanted)
        return moved

    @staticmethod
    async def _alone(connection: AsyncConnection, project: str) -> None:
        """Lock the project within the transaction, too: the session that holds it may have died meanwhile."""
        lock = sa.select(try_lock_in_transaction(key_of(f"snk resync rows {project}")))
        if not (await connection.execute(lock)).scalar_one():
            raise held_by_another(project)

    async def _allowed(self, connection: AsyncConnection, project: str) -> None:
        states = [] if self.while_live else await held_states(connection, self.found, project)
        if states:
            raise in_process(project, states)

    async def _refuse_moved(self, plan: Plan[Repair]) -> None:
        """Refuse a plan if a counter that it raises, or that asks for rows, is not what it was."""
        expected = {
            action.key: action.counted if isinstance(action, InsertRows) else action.before for action in plan.actions
        }
        found = await self.counters.values(list(expected))
        for key, before in expected.items():
            if found[key] != before and not (found[key] is None and before == 0):
                was = "absent" if before is None else before
                raise PlanUnfit(f"{key} is no longer {was}, as the plan expects", hint=NOTHING)


def _moved(inserts: Sequence[InsertRows], rows: Rows) -> Iterator[InsertRows]:
    """The actions whose before-value does not hold; those of one source count the rows of earlier ones."""
    now = dict(rows)
    for action in inserts:
        place = action.task, action.source
        if now.get(place, 0) != action.before:
            yield action
        else:
            now[place] = action.before + action.rows
