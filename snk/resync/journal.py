"""SNK's own table in the user's database: every plan that was applied."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema, CreateTable

from snk.db import catalog
from snk.db.server import Server
from snk.errors import DatabaseUnfit
from snk.resync.database import snapshot, understood
from snk.resync.tables import JOURNAL, SCHEMA

STATEMENTS = (CreateSchema(SCHEMA, if_not_exists=True), CreateTable(JOURNAL, if_not_exists=True))


@dataclass(frozen=True, slots=True)
class Entry:
    """One plan that was applied.

    Attributes:
        finished_at: when its counters were raised; None if the run ended before that.
        role: the database role that applied it.
        overtaken: the actions whose before-value no longer held.
    """

    plan: str
    made_at: datetime
    applied_at: datetime
    finished_at: datetime | None
    role: str
    actions: list[dict[str, Any]]
    overtaken: list[dict[str, Any]] | None


async def prepare(server: Server) -> bool:
    """Create the journal if there is none; return whether it was created."""
    async with understood(server), server.begin() as connection:
        if await exists(connection):
            return False
        try:
            for statement in STATEMENTS:
                await connection.execute(statement)
        except sa.exc.ProgrammingError as error:
            hint = "Ask its owner to run what `snk resync init --print` shows"
            raise DatabaseUnfit(
                f"{server.address}: the journal {JOURNAL.fullname} cannot be created", hint=hint
            ) from error
        return True


async def exists(connection: AsyncConnection) -> bool:
    """Whether there is a journal."""
    return await catalog.exists(connection, JOURNAL.fullname, "table")


async def history(server: Server, project: str) -> list[Entry]:
    """The plans that were applied to a project, oldest first."""
    columns = [JOURNAL.c[name] for name in Entry.__slots__]
    asked = sa.select(*columns).where(JOURNAL.c.project == project).order_by(JOURNAL.c.applied_at)
    async with snapshot(server) as connection:
        if not await exists(connection):
            return []
        return [Entry(*row) for row in await connection.execute(asked)]


def printed() -> str:
    """The statements that create the journal, to be run by hand."""
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
    return "".join(f"{str(statement.compile(dialect=dialect)).strip()};\n" for statement in STATEMENTS)
