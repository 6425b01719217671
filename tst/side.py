"""One of the two databases: a batch goes in as one transaction, what goes wrong comes out as one of TST's errors."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from tst.errors import RowsPresent, Stop, TableMissing, TstError, Unavailable
from tst.model import Record, insert_batch
from tst.rows import Batch
from tst.settings import address

CONNECT_SECONDS = 5
# A batch takes milliseconds; a server that is silent for so long is taken for lost, and the batch settled later.
ANSWER_SECONDS = 60

_INSERT = insert_batch()

_UNDEFINED_TABLE = "42P01"
_UNIQUE_VIOLATION = "23505"
# SQLSTATEs that pass by themselves: a broken connection, a deadlock, a server out of slots, one that stops or starts.
_PASSING = ("08", "40", "53300", "57P")


class Side:
    """One database to load, over one connection that is opened when first needed and again when it was lost.

    Args:
        label: ``first`` or ``second``, for messages.
        dsn: a PostgreSQL URL. The driver reads it itself, so sslmode and whatever else it knows may be in it.
    """

    def __init__(self, label: str, dsn: str) -> None:
        self.label = label
        self.name = f"{label} ({address(dsn)})"
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            pool_size=1,
            max_overflow=0,
            connect_args={
                "dsn": dsn,
                "timeout": CONNECT_SECONDS,
                "command_timeout": ANSWER_SECONDS,
                "server_settings": {"application_name": "tst"},
            },
        )

    async def insert(self, batch: Batch) -> None:
        """Insert the batch in one transaction: all of it is committed when this returns.

        Raises:
            Unavailable: it passes; whether the batch is in is not known, since the answer to COMMIT may be what was
                lost. Inserting the same batch again finds out: the unique key lets it in at most once.
            RowsPresent: some of the uuids are in already; nothing was written now.
            TableMissing: there is no table.
            Stop: anything else the server objects to.
        """
        try:
            async with AsyncSession(self._engine) as session, session.begin():
                await session.execute(_INSERT, {"uuids": batch.uuids, "datas": batch.datas})
        except (DBAPIError, OSError) as error:
            raise self._translated(error) from error

    async def check(self) -> None:
        """Insert no rows: that needs the server, the login, the table, its columns and the right to insert.

        Raises:
            Unavailable, TableMissing, Stop: as for insert.
        """
        try:
            await self.insert(Batch([], []))
        except ValueError as error:  # the driver's word for a URL it cannot read; it may quote the password
            raise Stop(f"{self.name}: the driver cannot read this URL") from error

    async def close(self) -> None:
        """Close the connection."""
        await self._engine.dispose()

    def _translated(self, error: DBAPIError | OSError) -> TstError:
        if isinstance(error, OSError):
            return Unavailable(f"{self.name} cannot be reached: {str(error) or 'it does not answer'}")
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        if error.connection_invalidated or sqlstate.startswith(_PASSING):
            return Unavailable(f"{self.name}: {error.orig}")
        if sqlstate == _UNDEFINED_TABLE:
            table = Record.__tablename__
            return TableMissing(f"{self.name} has no table {table}: create it, for example with `snk init`")
        if sqlstate == _UNIQUE_VIOLATION:
            return RowsPresent(f"{self.name} has some of these uuids already: choose another --seed")
        return Stop(f"{self.name} refuses: {error.orig}")
