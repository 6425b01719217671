"""How code reaches one server: each statement or transaction on a connection that it holds no longer than needed.

Code that has a connection of its own always uses that one. Flows share a few (`snk.db.lender`).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.functions import wait_briefly
from snk.db.server import Kind, Server
from snk.errors import ParentMissing


class Access(ABC):
    """Statements to one server; all of them reach the same boot of it.

    Attributes:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    @abstractmethod
    def using(self, kind: Kind = "look") -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection for one statement, whose answer is awaited as in `Server.answering`.

        What the block raises must leave no transaction open. It must not ask for another connection.
        """

    @asynccontextmanager
    async def transaction(self, kind: Kind = "look") -> AsyncIterator[AsyncConnection]:
        """A connection with a transaction, which is committed at the end of the block, or undone if it raises."""
        async with self.using(kind) as connection, transaction(connection):
            yield connection

    @asynccontextmanager
    async def briefly(self) -> AsyncIterator[AsyncConnection]:
        """A transaction whose statements wait for no lock for long, and are refused instead."""
        async with self.transaction() as connection:
            await wait_briefly(connection, local=True)
            yield connection


class Dedicated(Access):
    """Statements over one connection.

    Attributes:
        connection: the connection.
    """

    def __init__(self, server: Server, connection: AsyncConnection) -> None:
        super().__init__(server)
        self.connection = connection

    @asynccontextmanager
    async def using(self, kind: Kind = "look") -> AsyncIterator[AsyncConnection]:
        """The connection."""
        async with self.server.answering(self.connection, kind):
            yield self.connection


@asynccontextmanager
async def transaction(connection: AsyncConnection) -> AsyncIterator[None]:
    """A transaction over a connection that otherwise has one for each statement."""
    # No transaction is open, but SQLAlchemy requires a commit before the isolation level changes.
    await connection.commit()
    await connection.execution_options(isolation_level="READ COMMITTED")
    try:
        async with connection.begin():
            yield
    except ParentMissing:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        raise
    # Not after any other error: a dead connection would open a new one.
    await connection.execution_options(isolation_level="AUTOCOMMIT")
