"""Making what SNK needs in a database, where it is missing, and granting it to SNK's role."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog, schema
from snk.db.engine import Server
from snk.db.functions import commit_durably
from snk.db.grants import granted
from snk.errors import PairUnfit

ONE_AT_A_TIME = int.from_bytes(b"snk init", "big")


async def missing(connection: AsyncConnection, *, default_table: bool) -> list[str]:
    """The names of what SNK needs in this database and does not find."""
    names = schema.wanted(default_table=default_table)
    return [name for name in names if not await catalog.exists(connection, name, schema.kind_of(name))]


async def unprepared(server: Server) -> list[PairUnfit]:
    """What to say where something is missing without which no row flows: an earlier version may have made the rest.

    Raises:
        Unavailable: the server cannot be reached.
        PairUnfit: its role may not look into the schema.
    """
    async with server.connect() as connection:
        lacking = [name for name in await missing(connection, default_table=False) if name != schema.WAIT]
    if not lacking:
        return []
    what = f"its schema {schema.SCHEMA}" if schema.SCHEMA in lacking else ", ".join(lacking)
    return [PairUnfit(f"{server.address}: {what} is missing", hint="Run `snk init`")]


async def prepare(server: Server, tables: tuple[str, ...]) -> list[str]:
    """Create SNK's schema and, if it is among the tables, the default table.

    All in one transaction; what exists is left as it is.

    Returns:
        The names of what was made.
    """
    default_table = schema.DEFAULT_TABLE in tables
    wanted = schema.wanted(default_table=default_table)
    async with server.begin() as connection:
        # Several daemons may start at once, and IF NOT EXISTS does not spare them each other's new names.
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.literal(ONE_AT_A_TIME, sa.BigInteger))))
        # Rows may go with a crash, for their mark goes with them; tables may not.
        await commit_durably(connection)
        made: list[str] = []
        for name, statement in wanted.items():
            if not await catalog.exists(connection, name, schema.kind_of(name)):
                await connection.execute(statement)
                made.append(name)
    return made


async def grant(server: Server, role: str, tables: tuple[str, ...]) -> None:
    """Give a role what SNK needs here, all of it or nothing; to be done by an owner.

    Raises:
        SettingsError: the name of the role cannot be meant.
        PairUnfit: there is no such role, or who asks may not grant.
    """
    statements = list(granted(role, tables))
    async with server.begin() as connection:
        for statement in statements:
            await connection.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]
