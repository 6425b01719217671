"""Copies the rows of a plan to the side that lacks them, beside a running daemon or without one.

A row is inserted only if its uuid does not exist there (ON CONFLICT DO NOTHING), so nothing is overwritten and nothing
doubled. The daemon sees the copies as new rows, offers them to the other side, and finds that they exist.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.plan import Plan
from snk.db import journal
from snk.db.access import Dedicated
from snk.db.catalog import server_facts
from snk.db.errors import FOREIGN_KEY_VIOLATION
from snk.db.functions import commit_durably
from snk.db.server import Server
from snk.errors import PlanUnfit
from snk.pair.core.portion import Portion
from snk.pair.repair.actions import OTHER, CopyRow, Label
from snk.pair.table.deliveries import insert_missing
from snk.pair.table.narrow import MOST_REFUSED, insert_narrowly
from snk.pair.table.reader import Reader
from snk.pair.table.rejects import Refusal
from snk.pair.table.statement import Statement
from snk.pair.table.synced import Rows, SyncedTable
from snk.pair.verify.sides import sides_of

KIND = "verify"
BATCH_ROWS = MOST_REFUSED
"""So many rows of a batch may be refused at most, and each may be."""
BATCH_BYTES = 8 * 2**20
JOURNAL_HINT = "Ask its owner to run what `snk init --print` shows"

Tell = Callable[[int, int], None]
"""Called with how many rows were looked after, and how many there are."""


@dataclass(slots=True)
class Outcome:
    """What became of a plan.

    Attributes:
        copied: how many rows are new where they were missing.
        overtaken: rows that were there by now, or that the other side no longer has.
        refused: why rows could not be read or inserted, by uuid.
    """

    copied: int = 0
    overtaken: list[CopyRow] = field(default_factory=list)
    refused: dict[str, Refusal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a table, over a connection of its own."""

    server: Server
    connection: AsyncConnection
    table: SyncedTable

    @property
    def access(self) -> Dedicated:
        """Its connection, for statements that are answered."""
        return Dedicated(self.server, self.connection)


async def identity_of(first: Server, second: Server) -> str:
    """Names two databases, so that a plan is never applied to others: identities, in the order of the settings."""
    named: list[str] = []
    for server in (first, second):
        async with server.connect() as connection:
            named.append((await server_facts(connection)).identity)
    return "~".join(named)


async def apply(first: Server, second: Server, plan: Plan[CopyRow], tell: Tell) -> Outcome:
    """Copy the rows of a plan.

    Raises:
        PlanUnfit: the plan was applied before, or was made for other databases. Nothing was written.
        Unavailable: a server cannot be reached; what was copied until then stays.
    """
    if plan.subject != await identity_of(first, second):
        raise PlanUnfit("The plan was made for other databases", hint="Make a new plan")
    await journal.prepare(first, JOURNAL_HINT)
    async with first.begin() as connection:
        await journal.enter(connection, journal.entry_of(plan))
    outcome = Outcome()
    await _copy_all(first, second, plan.actions, outcome, tell)
    orphans = {uuid for uuid, why in outcome.refused.items() if why.sqlstate == FOREIGN_KEY_VIOLATION}
    if orphans:  # their parents may have been copied since
        outcome.refused = {uuid: why for uuid, why in outcome.refused.items() if uuid not in orphans}
        again = [action for action in plan.actions if action.uuid in orphans]
        await _copy_all(first, second, again, outcome, tell)
    async with first.begin() as connection:
        refused = [action for action in plan.actions if action.uuid in outcome.refused]
        await journal.finish(connection, plan, [*outcome.overtaken, *refused])
    return outcome


async def _copy_all(first: Server, second: Server, actions: Sequence[CopyRow], outcome: Outcome, tell: Tell) -> None:
    done = 0
    for table, of_table in groupby(actions, key=lambda action: action.table):
        async with sides_of(first, second, table, lambda *given: Side(*given[:3])) as (_, sides):
            by_label: dict[Label, Side] = {"first": sides[0], "second": sides[1]}
            for some in _batches(list(of_table)):
                to = some[0].to
                await _copy(by_label[OTHER[to]], by_label[to], some, outcome)
                done += len(some)
                tell(done, len(actions))


def _batches(actions: Sequence[CopyRow]) -> Iterator[list[CopyRow]]:
    for _, same in groupby(sorted(actions, key=lambda action: action.to), key=lambda action: action.to):
        some = list(same)
        yield from (some[at : at + BATCH_ROWS] for at in range(0, len(some), BATCH_ROWS))


async def _copy(source: Side, destination: Side, actions: Sequence[CopyRow], outcome: Outcome) -> None:
    """Copy rows to one side, as many at a time as fit into a batch."""
    reader = Reader(source.access, source.table)
    portion = Portion.of(BATCH_ROWS, BATCH_BYTES)
    left = list(actions)
    while left:
        found = await reader.named([action.uuid for action in left], portion)
        inserted = await _insert(destination, found.rows, outcome)
        there = set(found.rows.uuids)
        outcome.refused |= found.unread
        for action in left[: found.asked]:
            gone = action.uuid not in there and action.uuid not in found.unread
            if gone or (action.uuid in there and action.uuid not in inserted | outcome.refused.keys()):
                outcome.overtaken.append(action)
        left, portion = left[found.asked :], found.portion


async def _insert(side: Side, rows: Rows, outcome: Outcome) -> set[str]:
    """Insert the rows that are missing, in one transaction; return the uuids of those that were."""
    if not rows:
        return set()
    statement = await Statement(side.table, insert_missing).ready(side.server, side.table.labels)
    async with side.access.transaction("write") as connection:
        await commit_durably(connection)
        narrowed = await insert_narrowly(connection, statement, rows)
    outcome.copied += len(narrowed.inserted)
    outcome.refused |= narrowed.refused
    return narrowed.inserted
