"""A pool of connections to one database, for services that answer many requests.

Who gets no connection in time is told so rather than queued without end, and memory stays bounded. Sessions are set up
once, when they are new: what would change how values are written is pinned, and a commit waits for the disk.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from snk.db.errors import translated
from snk.db.session import pin
from snk.errors import Busy

CONNECT_SECONDS = 5.0
PINNED = {
    "synchronous_commit": "on",
    # A write waits for another one of the same key, and not for ever.
    "lock_timeout": "5s",
    "work_mem": "16MB",
}
_PINNED_MARK = "snk_pinned"

Kind = Literal["statement", "snapshot", "write"]
_OPTIONS: dict[Kind, dict[str, object]] = {
    "statement": {},
    "snapshot": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "write": {"isolation_level": "READ COMMITTED"},
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what is done on a connection may take; the server ends what takes longer.

    Attributes:
        statement_seconds: for a statement.
        idle_seconds: between two statements of a transaction. A client that reads slowly is dropped before.
    """

    statement_seconds: float = 60.0
    idle_seconds: float = 90.0

    @property
    def answer_seconds(self) -> float:
        """After which a connection counts as lost: the server would have ended the statement before."""
        return self.statement_seconds * 1.1

    @property
    def pinned(self) -> dict[str, str]:
        """The settings of a session, besides the time limit for a statement."""
        return {**PINNED, "idle_in_transaction_session_timeout": f"{int(self.idle_seconds * 1000)}ms"}


USUAL = Limits()


class Pool:
    """One database.

    Attributes:
        address: of the server, for messages: without user and password.
    """

    def __init__(self, dsn: str, connections: int, wait_seconds: float, name: str, limits: Limits = USUAL) -> None:
        """Assign.

        Args:
            dsn: its URL.
            connections: how many there are at once.
            wait_seconds: how long one is waited for.
            name: of the service, as the server shows it.
            limits: how long statements and pauses between them may take.
        """
        self._limits = limits
        parts = urlsplit(dsn)
        self.address = f"database ({parts.netloc.rpartition('@')[2]}{parts.path})"
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=wait_seconds,
            pool_use_lifo=True,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args={
                "dsn": dsn,
                "timeout": CONNECT_SECONDS,
                "command_timeout": limits.answer_seconds,
                "server_settings": {"application_name": name},
            },
        )

    @asynccontextmanager
    async def connection(self, kind: Kind) -> AsyncIterator[AsyncConnection]:
        """A connection, as long as the block lasts.

        Args:
            kind: for one statement; for several that see the same moment; or for a transaction that is begun in the
                block.

        Raises:
            Busy: all connections are in use.
            SnkError: the database failed.
        """
        with translated(self.address, self._limits.answer_seconds):
            async with AsyncExitStack() as stack:
                try:
                    connection = await stack.enter_async_context(self._engine.connect())
                except sqlalchemy.exc.TimeoutError:
                    raise Busy(f"{self.address}: all connections are in use") from None
                await self._set_up(connection, kind)
                try:
                    yield connection
                except asyncio.CancelledError:  # a statement may still be under way
                    await connection.invalidate()
                    raise

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection with a transaction, which is committed at the end of the block.

        Raises:
            Busy: all connections are in use.
            SnkError: the database failed.
        """
        async with self.connection("write") as connection, connection.begin():
            yield connection

    async def _set_up(self, connection: AsyncConnection, kind: Kind) -> None:
        if _PINNED_MARK not in connection.info:
            await pin(connection, self._limits.statement_seconds, self._limits.pinned)
            await connection.commit()
            connection.info[_PINNED_MARK] = True
        if _OPTIONS[kind]:
            await connection.execution_options(**_OPTIONS[kind])

    @property
    def in_use(self) -> int:
        """How many connections are in use."""
        return self._queue.checkedout()

    @property
    def _queue(self) -> AsyncAdaptedQueuePool:
        pool = self._engine.pool
        assert isinstance(pool, AsyncAdaptedQueuePool)  # noqa: S101 - it was made above
        return pool

    async def answers(self) -> None:
        """Ask the database for a sign of life, unless there is no free connection to do so.

        Raises:
            Busy: all connections are in use.
            SnkError: it does not answer.
        """
        if self.in_use >= self._queue.size():
            raise Busy(f"{self.address}: all connections are in use")
        async with self.connection("statement") as connection:
            await connection.execute(sa.select(1))

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()
