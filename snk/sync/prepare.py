"""Making what SNK needs in a database, where it is missing."""

import sqlalchemy as sa

from snk.db import catalog, schema
from snk.db.engine import Server


async def prepare(server: Server, tables: tuple[str, ...]) -> list[str]:
    """Create SNK's schema and, if it is among the tables, the default table.

    All in one transaction; what exists is left as it is.

    Returns:
        The names of what was made.
    """
    wanted = schema.wanted(default_table=schema.DEFAULT_TABLE in tables)
    async with server.begin() as connection:
        # Rows may go with a crash, for their mark goes with them; tables may not.
        await connection.execute(sa.select(sa.func.set_config("synchronous_commit", "on", True)))  # noqa: FBT003
        missing = [name for name in wanted if not await catalog.exists(connection, name)]
        for name in missing:
            await connection.execute(wanted[name])
    return missing
