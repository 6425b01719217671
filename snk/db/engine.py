"""Connections to one PostgreSQL server, and its errors in SNK's own words.

The whole URL goes to the driver, so ``sslmode``, ``sslrootcert`` and the like mean what they mean to every
PostgreSQL client. There is no pool: whoever needs a connection opens one and keeps it. That is part of the
protocol: a connection does not outlive a crash of its server, so what was learnt on a connection may be trusted as
long as that connection lives.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from snk.errors import PairUnfit, RowRefused, SnkError, TooLarge, Unavailable

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 60.0

# Values travel as text where they have no plain type of their own, so both servers are to write and read that text
# alike, and without loss. Rows of SNK's own need not wait for the disk: a crash takes back rows and mark together.
SESSION = {
    "application_name": "snk",
    "bytea_output": "hex",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "3",
    "intervalstyle": "postgres",
    "jit": "off",
    "lc_monetary": "C",
    "synchronous_commit": "off",
    "timezone": "UTC",
    # A daemon that was paused in the middle of a transaction is not to keep its locks from the one that takes over.
    "idle_in_transaction_session_timeout": "5s",
}


@dataclass(frozen=True)
class Server:
    """One of the two databases.

    Attributes:
        label: ``first`` or ``second``, as in the settings.
        dsn: a PostgreSQL URL, with its password.
        command_seconds: how long a statement may take before the server is taken for lost; None for ever.
    """

    label: str
    dsn: str
    command_seconds: float | None = COMMAND_SECONDS

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
            connect_args={
                "dsn": self.dsn,
                "timeout": CONNECT_SECONDS,
                "command_timeout": self.command_seconds,
                "server_settings": SESSION,
            },
        )

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection of one's own. Errors inside the block are translated too.

        Raises:
            Unavailable: the server cannot be reached or went away.
            RowRefused: it refused rows for what they hold.
            PairUnfit: it refuses this user, this database or this statement.
        """
        with self.translated():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, committed at the end of the block."""
        with self.translated():
            engine = self.engine.execution_options(isolation_level="READ COMMITTED")
            async with engine.begin() as connection:
                yield connection

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn what SQLAlchemy, the driver or the network raise inside the block into SNK's errors."""
        try:
            yield
        except SnkError:
            raise
        except DBAPIError as error:
            raise self._from_server(error) from error
        except (OSError, TimeoutError, SQLAlchemyError, EOFError) as error:
            raise Unavailable(f"{self.address}: {plain(error)}") from error

    def _from_server(self, error: DBAPIError) -> SnkError:
        state = sqlstate(error)
        words = f"{self.address}: {plain(error.orig or error)}"
        if state in _TOO_LARGE:
            return TooLarge(words)
        if state[:2] in _UNFIT:
            return PairUnfit(words, hint=_UNFIT[state[:2]])
        if is_refusal(error):
            return RowRefused(words)
        return Unavailable(words)


# A limit of the program, such as the size of an array; memory.
_TOO_LARGE = ("54000", "53200")

# Classes of SQLSTATE that pass only when a person changes something.
_UNFIT = {
    "28": "The user and its password are to be those the server knows",
    "3D": "The database is to exist",
    "3F": "Run `snk init`",
    "42": "The table, its columns and the user's rights are to be as `snk doctor` wants them",
}

# Classes that speak of the server, the connection or the transaction, not of what a row holds. A trigger may refuse a
# row with any code of its own, so what is not listed is a refusal.
_PASSING = ("08", "0A", "24", "25", "26", "2D", "34", "3B", "40", "53", "55", "57", "58", "72", "F0", "HV", "XX")


def sqlstate(error: DBAPIError) -> str:
    """The five characters by which PostgreSQL names the error, or an empty string for one without."""
    return str(getattr(error.orig, "sqlstate", "") or "")


def is_unique_violation(error: DBAPIError) -> bool:
    """Whether a unique key objected."""
    return sqlstate(error) == "23505"


def is_refusal(error: DBAPIError) -> bool:
    """Whether the server refuses a row for what it holds, such as by a CHECK, a trigger, or the size of an index."""
    state = sqlstate(error)
    return bool(state) and state[:2] not in _UNFIT and state[:2] not in _PASSING


def plain(error: BaseException) -> str:
    """The server's or the system's own sentence: no statement, no parameters, no class names of the driver."""
    text = str(error).strip().splitlines()
    first = text[0] if text else type(error).__name__
    if first.startswith("<class"):
        first = first.partition(">:")[2].strip()
    return first
