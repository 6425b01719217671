"""The connections to the database of the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.pool import Kind, Pool
from snk.errors import Busy
from snk.http.api.problem import passing


class Database(Pool):
    """One database; a request that gets no connection in time is refused, and its client asks again."""

    def __init__(self, dsn: str, connections: int, wait_seconds: float) -> None:
        super().__init__(dsn, connections, wait_seconds, "snk serve")

    @asynccontextmanager
    async def connection(self, kind: Kind) -> AsyncIterator[AsyncConnection]:
        """A connection, as long as the block lasts; `Pool.connection` tells more.

        Raises:
            Problem: all connections are in use.
            SnkError: the database failed.
        """
        try:
            async with super().connection(kind) as connection:
                yield connection
        except Busy:
            raise passing("overloaded", "All connections to the database are in use") from None
