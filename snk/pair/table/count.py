"""Counting the rows of a table."""

import sqlalchemy as sa

from snk.db.server import Server
from snk.pair.catalog import lookup
from snk.pair.table.synced import SyncedTable


async def count_rows(server: Server, table: str) -> int:
    """The number of rows in a table now."""
    async with server.begin() as connection:
        shape = await lookup.table_shape(connection, table, server.label)
        count = sa.select(sa.func.count()).select_from(SyncedTable.of(shape).table)
        return int((await connection.execute(count)).scalar_one())
