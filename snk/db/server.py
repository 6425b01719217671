"""Connections to one PostgreSQL server.

The whole URL goes to the driver, so ``sslmode``, ``sslrootcert`` and the like mean what they mean to every
PostgreSQL client. There is no pool: whoever needs a connection opens one and keeps it. That is part of the
protocol: a connection does not outlive a crash of its server, so what was learnt on a connection may be trusted as
long as that connection lives.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
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
# A server that is idle may still be receiving a batch; it is not believed to before it was found so this often.
MOST_IDLE_LOOKS = 3
PID = "snk_pid"

Kind = Literal["look", "read", "write"]

log = structlog.get_logger()


@dataclass(frozen=True)
class Server:
    """One of the two databases.

    Attributes:
        label: ``first`` or ``second``, as in the settings.
        dsn: a PostgreSQL URL, with its password.
        command_seconds: how long a statement may take before it is given up; None for ever.
        answer_seconds: after how long without an answer the server is asked, over another connection, whether it is
            still at work on a statement.
        connect_seconds: how long it may take until a connection can be used.
    """

    label: str
    dsn: str = field(repr=False)
    command_seconds: float | None = COMMAND_SECONDS
    answer_seconds: float = ANSWER_SECONDS
    connect_seconds: float = CONNECT_SECONDS

    @cached_property
    def address(self) -> str:
        """Where it is, without user and password: ``first (db1.example:5432/app)``."""
        parts = urlsplit(self.dsn)
        return f"{self.label} ({parts.netloc.rpartition('@')[2]}{parts.path})"

    @cached_property
    def engine(self) -> AsyncEngine:
        """An engine whose statements are each a transaction of their own, unless one is begun."""
        return create_async_engine(
            "postgresql+asyncpg://",
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            # Escapes would be refused where the database has another encoding than UTF-8.
            json_serializer=partial(json.dumps, ensure_ascii=False),
            connect_args={
                "dsn": self.dsn,
                "timeout": self.connect_seconds,
                "command_timeout": self.command_seconds,
                "server_settings": {"application_name": "snk"},
            },
        )

    @property
    def _statement_seconds(self) -> float | None:
        """How long the server lets a statement take: a little less, so that it is the one to say so."""
        return self.command_seconds and self.command_seconds * SERVERS_SHARE

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection of one's own. Errors inside the block are translated too.

        Raises:
            Unavailable: the server cannot be reached or went away.
            RowRefused: it refused rows for what they hold.
            PairUnfit: it refuses this user, this database or this statement.
        """
        with self.translated():
            async with self._opened(self.engine) as connection:
                yield connection

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, committed at the end of the block."""
        with self.translated():
            engine = self.engine.execution_options(isolation_level="READ COMMITTED")
            async with self._opened(engine) as connection, self._transaction(connection):
                yield connection

    @asynccontextmanager
    async def answering(self, connection: AsyncConnection, kind: Kind = "look") -> AsyncIterator[None]:
        """Wait inside the block for the answer to one statement, as long as somebody is at work on it.

        A connection can die without a word: then nobody closes it, and nothing ever comes. So where an answer is late,
        the server is asked about the statement over another connection. One that is at work may take its time, up to
        ``command_seconds``.

        Args:
            connection: one of this server's.
            kind: ``read`` or ``write`` for a statement that takes the longer the more rows there are. A server that
                waits for a ``write`` may still be receiving it.

        Raises:
            Unavailable: the server does not answer any more, or knows nothing of the statement.
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
    async def _transaction(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """As ``connection.begin()``, but a failed one ends with its connection: ROLLBACK may never be answered."""
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
        connection = engine.connect()
        try:
            async with asyncio.timeout(self.connect_seconds):
                await self._connected(connection)
                connection.info[PID] = await pin(connection, self._statement_seconds)
                await connection.commit()  # the settings are a transaction of their own
                # Each session looks at its table anew, so its statements are new to the engine's cache, and would fill
                # it with those of sessions that are gone.
                await connection.execution_options(compiled_cache={})
        except TimeoutError as error:
            await _hang_up(connection)
            raise Unavailable(f"{self.address}: no answer within {self.connect_seconds} s") from error
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
        """Why no answer will come from a backend, or None where that cannot be told."""
        try:
            state = await self._state_of(pid)
        except SnkError as error:
            # A server that refuses a connection is alive, and may well be at work.
            if isinstance(error.__cause__, DBAPIError) and sqlstate(error.__cause__):
                log.debug("probe_refused", error=str(error), effect="waiting for the statement")
                return None
            return Unavailable(str(error))
        if state is None:
            return Unavailable(f"{self.address}: the connection was lost without a message")
        if not state.startswith("idle") or (kind == "write" and next(idle) < MOST_IDLE_LOOKS):
            return None
        # A batch that is still on its way to the server after so long is to be a smaller one.
        lost = TooSlow if kind == "write" else Unavailable
        return lost(f"{self.address}: the statement or its answer was lost in transit")

    async def _state_of(self, pid: int) -> str | None:
        """What a backend does, asked with a deadline of its own: where nothing else has one, all wait for this."""
        async with self.connect() as other:
            try:
                async with asyncio.timeout(self.connect_seconds):
                    return await backends.state_of(other, pid)
            except TimeoutError as error:
                raise Unavailable(f"{self.address}: no answer within {self.connect_seconds} s") from error

    def translated(self) -> AbstractContextManager[None]:
        """Turn what SQLAlchemy, the driver or the network raise inside the block into SNK's errors."""
        return translated(self.address, self.label, self.command_seconds)


async def _hang_up(connection: AsyncConnection) -> None:
    """Close a connection, for which SQLAlchemy waits without end, or invalidate it first, for which it waits 2 s."""
    if connection.sync_connection is None:
        return
    if not connection.closed:
        await connection.invalidate()
    await connection.close()
