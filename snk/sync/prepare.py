"""Making what SNK needs in a database, where it is missing."""

import sqlalchemy as sa

from snk.db import catalog, schema
from snk.db.engine import Server

ONE_AT_A_TIME = int.from_bytes(b"snk init", "big")


async def prepare(server: Server, tables: tuple[str, ...]) -> list[str]:
    """Create SNK's schema and, if it is among the tables, the default table.

    All in one transaction; what exists is left as it is.

    Returns:
        The names of what was made.
    """
    wanted = schema.wanted(default_table=schema.DEFAULT_TABLE in tables)
    async with server.begin() as connection:
        # Several daemons may start at once, and IF NOT EXISTS does not spare them each other's new names.
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.literal(ONE_AT_A_TIME, sa.BigInteger))))
        # Rows may go with a crash, for their mark goes with them; tables may not.
        await connection.execute(sa.select(sa.func.set_config("synchronous_commit", "on", True)))  # noqa: FBT003
        made: list[str] = []
        for name, statement in wanted.items():
            if not await catalog.exists(connection, name):
                await connection.execute(statement)
                made.append(name)
    return made
