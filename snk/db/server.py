"""Connections to one PostgreSQL server.

The driver receives the whole URL, so ``sslmode``, ``sslrootcert`` and similar parameters mean what they mean to every
PostgreSQL client. There is no pool: code that needs a connection opens one and keeps it. The protocol depends on this:
a connection does not outlive a crash of its server, so what SNK learned on a connection is valid as long as that
connection lives.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from typing import Literal
from urllib.parse import urlsplit

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from snk.db import backends
from snk.db.errors import from_server, sqlstate, translated
from snk.db.session import pin
from snk.db.watch import watched
from snk.errors import SnkError, TooSlow, Unavailable

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 10.0
COMMAND_SECONDS = 60.0
SERVERS_SHARE = 0.95
# A backend that looks idle may still be receiving a batch. SNK considers the batch lost after this many such looks.
MOST_IDLE_LOOKS = 3
PID = "snk_pid"
PREPARED = 256  # statements that a connection keeps prepared; each takes some 50 kB in the server

Kind = Literal["look", "read", "write"]

log = structlog.get_logger()


@dataclass(frozen=True)
class Server:
    """One database.

    Attributes:
        label: what the settings call it, such as ``first`` or ``second``.
        dsn: a PostgreSQL URL, including the password.
        command_seconds: time limit for a statement; None for no limit.
        answer_seconds: after this time without an answer, SNK asks the server over another connection whether it is
            still working on the statement.
        connect_seconds: time limit until a new connection can be used.
        most: the right to a connection, if their number has a limit; who opens one waits for it.
        probes: the right to the one more connection over which is asked about statements.
    """

    label: str
    dsn: str = field(repr=False)
    command_seconds: float | None = COMMAND_SECONDS
    answer_seconds: float = ANSWER_SECONDS
    connect_seconds: float = CONNECT_SECONDS
    most: asyncio.Semaphore | None = field(default=None, repr=False, compare=False)
    probes: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1), repr=False, compare=False)

    @cached_property
    def address(self) -> str:
        """The server's address without user and password: ``first (db1.example:5432/app)``."""
        parts = urlsplit(self.dsn)
        return f"{self.label} ({parts.netloc.rpartition('@')[2]}{parts.path})"

    @cached_property
    def engine(self) -> AsyncEngine:
        """An engine that runs each statement in its own transaction, unless a transaction is begun."""
        return create_async_engine(
            "postgresql+asyncpg://",
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            # A database with another encoding than UTF-8 would refuse JSON's escapes.
            json_serializer=partial(json.dumps, ensure_ascii=False),
            connect_args={
                "dsn": self.dsn,
                "timeout": self.connect_seconds,
                "command_timeout": self.command_seconds,
                "prepared_statement_cache_size": PREPARED,
                "server_settings": {"application_name": "snk"},
            },
        )

    @property
    def _statement_seconds(self) -> float | None:
        """The server's own limit for a statement: slightly shorter, so that the server reports the timeout first."""
        return self.command_seconds and self.command_seconds * SERVERS_SHARE

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Open a dedicated connection; errors inside the block are translated too.

        Raises:
            Unavailable: the server cannot be reached or went away.
            RowRefused: it refused rows because of their content.
            DatabaseUnfit: it refuses this user, this database or this statement.
        """
        with self.translated():
            async with self._opened(self.engine) as connection:
                yield connection

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection with a transaction, which is committed at the end of the block."""
        with self.translated():
            engine = self.engine.execution_options(isolation_level="READ COMMITTED")
            async with self._opened(engine) as connection, self._transaction(connection):
                yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection whose statements all see the same moment, and cannot write."""
        with self.translated():
            engine = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with self._opened(engine) as connection, self._transaction(connection):
                yield connection

    @asynccontextmanager
    async def answering(self, connection: AsyncConnection, kind: Kind = "look") -> AsyncIterator[None]:
        """Wait inside the block for the answer to one statement, as long as the server is working on it.

        A connection can die silently: then nobody closes it, and no answer ever comes. So if an answer is late, SNK
        asks the server about the statement over another connection. A statement that is being worked on may take up to
        ``command_seconds``.

        Args:
            connection: a connection of this server.
            kind: ``read`` or ``write`` for a statement that takes longer the more rows there are. During a ``write``, a
                backend that waits for its client may still be receiving the statement.

        Raises:
            Unavailable: the server no longer answers, or is not working on the statement.
            TooSlow: a statement that reads or writes rows took too long.
        """
        pid: int = connection.info[PID]
        with self.translated():
            try:
                idle = count(1)
                async with watched(self.answer_seconds, lambda: self._lost(pid, kind, idle)):
                    yield
            except TimeoutError as error:
                too_late = Unavailable if kind == "look" else TooSlow
                raise too_late(f"{self.address}: a statement took longer than {self.command_seconds} s") from error

    @asynccontextmanager
    async def promptly(self) -> AsyncIterator[None]:
        """Wait inside the block for at most ``connect_seconds``, whatever the server may be working on.

        Raises:
            Unavailable: it took longer.
        """
        try:
            async with asyncio.timeout(self.connect_seconds):
                yield
        except TimeoutError as error:
            raise Unavailable(f"{self.address}: no answer within {self.connect_seconds} s") from error

    @asynccontextmanager
    async def _transaction(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Like ``connection.begin()``, but a failure also drops the connection: ROLLBACK may never be answered."""
        transaction = await connection.begin()
        try:
            yield
            async with self.answering(connection):
                await transaction.commit()
        except BaseException:
            await connection.invalidate()
            raise

    @asynccontextmanager
    async def _opened(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        async with self.most or nullcontext(), self._connection(engine) as connection:
            yield connection

    @asynccontextmanager
    async def _connection(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        connection = engine.connect()
        try:
            async with self.promptly():
                await self._connected(connection)
                connection.info[PID] = await pin(connection, self._statement_seconds)
                await connection.commit()  # the settings ran in their own transaction
        except BaseException:
            await _hang_up(connection)
            raise
        try:
            yield connection
        finally:
            await _hang_up(connection)

    async def _connected(self, connection: AsyncConnection) -> None:
        try:
            await connection
        except DBAPIError as error:
            raise from_server(error, self.address, connecting=True) from error

    async def _lost(self, pid: int, kind: Kind, idle: Iterator[int]) -> Unavailable | None:
        """Why no answer will come from a backend, or None if that is unknown."""
        try:
            state = await self._state_of(pid)
        except SnkError as error:
            # A server that refuses a connection is alive and may be working on the statement.
            if isinstance(error.__cause__, DBAPIError) and sqlstate(error.__cause__):
                log.debug("probe_refused", error=str(error), effect="waiting for the statement")
                return None
            return Unavailable(str(error))
        if state is None:
            return Unavailable(f"{self.address}: the connection was lost without a message")
        if not state.startswith("idle") or (kind == "write" and next(idle) < MOST_IDLE_LOOKS):
            return None
        # If a batch is still on its way to the server after this time, the next one must be smaller.
        lost = TooSlow if kind == "write" else Unavailable
        return lost(f"{self.address}: the statement or its answer was lost in transit")

    async def _state_of(self, pid: int) -> str | None:
        """The state of a backend. The query has its own deadline: callers without a deadline wait for it."""
        with self.translated():
            async with self.probes, self._connection(self.engine) as other, self.promptly():
                return await backends.state_of(other, pid)

    def translated(self) -> AbstractContextManager[None]:
        """Translate errors of SQLAlchemy, the driver or the network inside the block into SNK's errors."""
        return translated(self.address, self.command_seconds)


async def _hang_up(connection: AsyncConnection) -> None:
    """Invalidate a connection, for which SQLAlchemy waits 2 s, before closing it, for which it waits without limit."""
    if connection.sync_connection is None:
        return
    if not connection.closed:
        await connection.invalidate()
    await connection.close()
