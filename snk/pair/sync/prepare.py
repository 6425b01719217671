"""Creates what SNK needs in a database, if it is missing, and grants it to SNK's role."""

import sqlalchemy as sa

from snk.db import catalog
from snk.db.functions import commit_durably
from snk.db.server import Server
from snk.pair.schema import creation
from snk.pair.schema.grants import granted
from snk.pair.schema.own import DEFAULT_TABLE
from snk.pair.table.fitness import server_faults

ONE_AT_A_TIME = int.from_bytes(b"snk init", "big")


async def prepare(server: Server, tables: tuple[str, ...]) -> list[str]:
    """Create SNK's schema and, if it is among the tables, the default table.

    All changes are made in one transaction; existing objects are left unchanged.

    Returns:
        The names of the objects that were created.

    Raises:
        DatabaseUnfit: the server cannot be part of a pair, or the role may not create objects.
    """
    default_table = DEFAULT_TABLE in tables
    wanted = creation.wanted(default_table=default_table)
    async with server.begin() as connection:
        for fault in server_faults(await catalog.server_facts(connection), server.address):
            raise fault
        # Several daemons may start at once, and IF NOT EXISTS does not prevent unique violations between concurrent
        # sessions.
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.literal(ONE_AT_A_TIME, sa.BigInteger))))
        # A crash may undo rows, because it undoes their mark with them; it must not undo tables.
        await commit_durably(connection)
        made: list[str] = []
        for name, statement in wanted.items():
            if not await catalog.exists(connection, name, creation.kind_of(name)):
                await connection.execute(statement)
                made.append(name)
    return made


async def grant(server: Server, role: str, tables: tuple[str, ...]) -> None:
    """Grant a role everything that SNK needs here, all or nothing; requires the rights of an owner.

    Raises:
        SettingsError: the name of the role is not valid.
        DatabaseUnfit: the role does not exist, or the caller may not grant.
    """
    statements = list(granted(role, tables))
    async with server.begin() as connection:
        for statement in statements:
            await connection.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]
