"""The drill's own table, and connections that read and write it without SNK."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.functions import setting
from snk.db.server import Server
from snk.errors import TableUnfit
from snk.pair.schema.own import Conflict, Lease, LedgerKept, Mark, Rejected, SweepKept

NAME = "snk_drill"
SESSION = {
    "application_name": NAME,
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "0",
}

drill_table = sa.Table(
    NAME,
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, sa.Identity(always=False), primary_key=True),
    sa.Column("uuid", sa.Uuid(as_uuid=False), unique=True, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Held:
    """What the table of one side holds.

    Attributes:
        uuids: of every row.
        altered: uuids of the rows whose data differs from what was written.
    """

    uuids: tuple[str, ...]
    altered: frozenset[str] = frozenset()


def new_row() -> dict[str, str]:
    """A new, unique row; its data can be computed from its uuid."""
    name = str(uuid.uuid4())
    return {"uuid": name, "data": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}


@asynccontextmanager
async def durable(server: Server) -> AsyncIterator[AsyncConnection]:
    """A connection whose commits are on disk once they are acknowledged, as an application's are.

    Raises:
        SnkError: as `Server.connect`; whatever was not committed is rolled back.
    """
    engine = server.engine.execution_options(isolation_level="READ COMMITTED")
    with server.translated():
        async with engine.connect() as connection:
            for name, value in SESSION.items():
                await connection.execute(sa.select(setting(name, value)))
            await connection.commit()
            yield connection


async def make(server: Server) -> str:
    """Create the table.

    Returns:
        Its name with its schema.

    Raises:
        TableUnfit: the table exists already.
    """
    async with durable(server) as connection:
        if await catalog.exists(connection, NAME, "table"):
            hint = f"If an earlier drill left it behind: drop table {NAME}"
            raise TableUnfit(f"{server.address} has a table {NAME} already", hint=hint)
        await connection.execute(sa.schema.CreateTable(drill_table))
        full_name = await catalog.full_name(connection, NAME)
        await connection.commit()
    return full_name or NAME


async def forget(server: Server, full_name: str) -> None:
    """Drop the table, and delete what SNK's own tables know about it."""
    async with durable(server) as connection:
        await connection.execute(sa.schema.DropTable(drill_table, if_exists=True))
        for own in (Mark, Conflict, Rejected, LedgerKept, SweepKept, Lease):
            if await catalog.exists(connection, f"{own.metadata.schema}.{own.__tablename__}", "table"):
                await connection.execute(sa.delete(own).where(own.table_name == full_name))
        await connection.commit()


async def look(server: Server) -> Held:
    """Everything the table of a side holds, read in one statement and so in one snapshot."""
    name = sa.cast(drill_table.c.uuid, sa.Text)
    altered = drill_table.c.data.is_distinct_from(sa.func.md5(name))
    folded = sa.func.array_agg(name), sa.func.array_agg(name).filter(altered)
    async with server.connect() as connection:
        uuids, wrong = (await connection.execute(sa.select(*folded))).one()
    return Held(tuple(uuids or ()), frozenset(wrong or ()))


async def count(server: Server) -> int:
    """How many rows the table of a side holds."""
    async with server.connect() as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(drill_table))).scalar_one())
