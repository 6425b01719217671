"""A re-sync: check, plan, ask, apply, and check again, while no other run works on the project."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import sqlalchemy as sa

from snk.core.plan import Plan
from snk.db.journal import prepare
from snk.db.locks import key_of, try_lock
from snk.db.pooler import refuse_shared_sessions
from snk.db.server import Server
from snk.resync.apply import Applier, held_by_another, in_process
from snk.resync.check import Checked, Checker
from snk.resync.counters import Counters
from snk.resync.database import snapshot, understood
from snk.resync.mapping import Mapping
from snk.resync.model import Limits, Method, Part, Repair, of_workers
from snk.resync.redis import address_of, connected
from snk.resync.tables import Tables, tables

KIND = "resync"
JOURNAL_HINT = "Ask its owner to run what `snk resync init --print` shows"
PARTS: dict[Method, tuple[Part, ...]] = {"single": ("pointer",), "multiple": ("sources", "workers")}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the two sides are, and what is written there.

    Attributes:
        database: a PostgreSQL URL.
        redis: a Redis URL.
        grace_seconds: a difference counts if it is still there after so long.
    """

    database: str = field(repr=False)
    redis: str = field(repr=False)
    names: Mapping
    limits: Limits
    grace_seconds: float = 2.0
    timeout_seconds: float = 10.0
    statement_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides, connected."""

    server: Server
    counters: Counters
    found: Tables
    checker: Checker


@dataclass(frozen=True, slots=True)
class Round:
    """One part of a re-sync that was confirmed.

    Attributes:
        overtaken: the actions whose before-value no longer held.
    """

    plan: Plan[Repair]
    overtaken: Sequence[Repair]


Confirm = Callable[[Part, Plan[Repair]], bool]
"""Asks whether to apply the plan of one part."""


@asynccontextmanager
async def sides(place: Place) -> AsyncIterator[Sides]:
    """Connect to both sides, and look up the tables once.

    Raises:
        DatabaseUnfit: a table or a column does not exist.
        Unavailable: a server does not answer.
    """
    server = Server(
        "database", place.database, command_seconds=place.statement_seconds, connect_seconds=place.timeout_seconds
    )
    async with understood(server):
        await refuse_shared_sessions(server)
    async with connected(place.redis, place.timeout_seconds) as client:
        counters = Counters(client, address_of(place.redis))
        async with snapshot(server) as connection:
            found = await tables(connection, place.names)
        yield Sides(server, counters, found, Checker(server, counters, found, place.limits, place.grace_seconds))


@asynccontextmanager
async def locked(server: Server, project: str) -> AsyncIterator[None]:
    """Hold a project for writing as long as the block lasts.

    Raises:
        ProjectUnfit: another run holds it.
    """
    async with understood(server), server.connect() as connection:
        if not (await connection.execute(sa.select(try_lock(key_of(f"snk resync {project}"))))).scalar_one():
            raise held_by_another(project)
        yield


def planned(checked: Checked, part: Part | None = None) -> Plan[Repair]:
    """The plan that repairs what a check found: one part, or everything."""
    return Plan(KIND, checked.held.project, datetime.now(UTC).isoformat(), checked.actions(part))


@dataclass(slots=True)
class Resync:
    """A re-sync of one project, part by part.

    Attributes:
        while_live: whether a project in process may be written.
    """

    sides: Sides
    while_live: bool = False

    async def run(self, checked: Checked, confirm: Confirm) -> AsyncIterator[Round]:
        """Apply the parts that are confirmed; a part is planned after the one before was applied.

        Raises:
            ProjectUnfit: the project is in process.
        """
        project, method = checked.held.project, checked.held.method
        if checked.held.in_process and not self.while_live and checked.actions():
            raise in_process(project, checked.held.in_process)
        for part in PARTS[method]:
            plan = planned(checked, part)
            if not plan.actions:
                continue
            if confirm(part, plan):
                yield Round(plan, await (await self._applier()).apply(plan, strictly=False))
                checked = await self.sides.checker.check(project)
            elif part == "sources":
                checked = self._as_it_is(checked)

    async def apply(self, plan: Plan[Repair]) -> Round:
        """Apply exactly this plan, or nothing.

        Raises:
            PlanUnfit: it was applied before, or one of its before-values no longer holds.
            ProjectUnfit: there is no such project, or it is in process.
        """
        return Round(plan, await (await self._applier()).apply(plan, strictly=True))

    async def _applier(self) -> Applier:
        await prepare(self.sides.server, JOURNAL_HINT)
        return Applier(self.sides.server, self.sides.counters, self.sides.found, self.while_live)

    def _as_it_is(self, checked: Checked) -> Checked:
        """The same check, its workers' part planned for rows as they are, because the sources' part was declined."""
        limits = self.sides.checker.limits
        return replace(checked, differences=tuple(each for task in checked.tasks for each in of_workers(task, limits)))
