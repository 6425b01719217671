"""SNK's journal in a user's database: every plan that was applied there, of whichever system.

An entry is made in the transaction that makes the plan's first changes, so a plan is never applied twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.exc import IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema, CreateTable

from snk.core.plan import Action, Plan
from snk.db import catalog
from snk.db.lender import Door
from snk.errors import DatabaseUnfit, PlanUnfit

SCHEMA = "snk"
JOURNAL = sa.Table(
    "journal",
    sa.MetaData(schema=SCHEMA),
    sa.Column("plan", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.Column("role", sa.Text, nullable=False, server_default=sa.func.session_user()),
    sa.Column("actions", pg.JSONB, nullable=False),
    sa.Column("overtaken", pg.JSONB),
)
STATEMENTS = (CreateSchema(SCHEMA, if_not_exists=True), CreateTable(JOURNAL, if_not_exists=True))


@dataclass(frozen=True, slots=True)
class Entry:
    """One plan that was applied.

    Attributes:
        finished_at: when its last action was taken; None if the run ended before that.
        role: the database role that applied it.
        overtaken: the actions whose before-value no longer held.
    """

    plan: str
    subject: str
    made_at: datetime
    applied_at: datetime
    finished_at: datetime | None
    role: str
    actions: list[dict[str, Any]]
    overtaken: list[dict[str, Any]] | None


async def prepare(door: Door, hint: str) -> bool:
    """Create the journal if there is none; return whether it was created.

    Args:
        door: to the database.
        hint: what to do if its role may not create it.
    """
    async with door.begin() as connection:
        if await exists(connection):
            return False
        try:
            for statement in STATEMENTS:
                await connection.execute(statement)
        except ProgrammingError as error:
            raise DatabaseUnfit(f"{door.address}: {JOURNAL.fullname} cannot be created", hint=hint) from error
        return True


async def exists(connection: AsyncConnection) -> bool:
    """Whether there is a journal."""
    return await catalog.exists(connection, JOURNAL.fullname, "table")


def entry_of(plan: Plan[Any]) -> dict[str, Any]:
    """The entry of a plan that is about to be applied. It takes seconds for a million actions."""
    return {
        "plan": plan.id,
        "kind": plan.kind,
        "subject": plan.subject,
        "made_at": datetime.fromisoformat(plan.made_at),
        "actions": [action.as_json for action in plan.actions],
    }


async def refuse_applied(connection: AsyncConnection, plan: Plan[Any]) -> None:
    """Refuse a plan that has an entry.

    Raises:
        PlanUnfit: it was applied before.
    """
    asked = sa.select(JOURNAL.c.plan).where(JOURNAL.c.plan == plan.id)
    if await exists(connection) and (await connection.execute(asked)).first():
        raise _applied(plan.id)


def _applied(plan: str) -> PlanUnfit:
    return PlanUnfit(f"Plan {plan} was applied before", hint="Make a new plan")


async def enter(connection: AsyncConnection, entry: dict[str, Any]) -> None:
    """Make an entry, in the caller's transaction.

    Raises:
        PlanUnfit: the plan was applied before; the transaction must be rolled back.
    """
    try:
        await connection.execute(sa.insert(JOURNAL).values(entry))
    except IntegrityError as error:
        raise _applied(entry["plan"]) from error


async def finish(connection: AsyncConnection, plan: Plan[Any], overtaken: Sequence[Action]) -> None:
    """Complete the entry of a plan."""
    finished = {"finished_at": sa.func.clock_timestamp(), "overtaken": [action.as_json for action in overtaken]}
    await connection.execute(sa.update(JOURNAL).where(JOURNAL.c.plan == plan.id).values(finished))


async def entries(connection: AsyncConnection, kind: str, subject: str) -> list[Entry]:
    """The plans that were applied to a subject, oldest first; none if there is no journal."""
    if not await exists(connection):
        return []
    columns = [JOURNAL.c[name] for name in Entry.__slots__]
    asked = sa.select(*columns).where(JOURNAL.c.kind == kind, JOURNAL.c.subject == subject)
    return [Entry(*row) for row in await connection.execute(asked.order_by(JOURNAL.c.applied_at))]


def printed() -> str:
    """The statements that create the journal, to be run by hand."""
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
    texts = (str(statement.compile(dialect=dialect)).strip() for statement in STATEMENTS)
    lines = (line.rstrip() for text in texts for line in f"{text};\n".replace("\t", "  ").split("\n"))
    return "\n".join(lines)
