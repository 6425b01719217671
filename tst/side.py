"""One of the two databases: inserts a batch as one transaction, and translates failures into TST's errors."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from tst.errors import RowsPresent, Stop, TableMissing, TstError, Unavailable
from tst.model import Record, insert_batch
from tst.rows import Batch
from tst.settings import address

CONNECT_SECONDS = 5
# A batch takes milliseconds. After this time without an answer, the server counts as lost, and the batch is settled
# later.
ANSWER_SECONDS = 60

_INSERT = insert_batch()

_UNDEFINED_TABLE = "42P01"
_UNIQUE_VIOLATION = "23505"
# SQLSTATEs that pass without intervention: a broken connection, a deadlock, no free slots, a stop or start.
_PASSING = ("08", "40", "53300", "57P")


class Side:
    """One database to load, over one connection that is opened when first needed and again after it was lost.

    Args:
        label: ``first`` or ``second``, for messages.
        dsn: a PostgreSQL URL. The driver parses it, so it may contain sslmode and any other parameter of the driver.
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
            Unavailable: the failure passes. Whether the batch was committed is unknown, because the answer to COMMIT
                may have been lost. Insert the same batch again to find out: the unique key admits it at most once.
            RowsPresent: some of the uuids exist already; this call wrote nothing.
            TableMissing: the table does not exist.
            Stop: the server refuses for any other reason.
        """
        try:
            async with AsyncSession(self._engine) as session, session.begin():
                await session.execute(_INSERT, {"uuids": batch.uuids, "datas": batch.datas})
        except (DBAPIError, OSError) as error:
            raise self._translated(error) from error

    async def check(self) -> None:
        """Insert no rows: this needs the server, the login, the table, its columns and the right to insert.

        Raises:
            Unavailable, TableMissing, Stop: as for insert.
        """
        try:
            await self.insert(Batch([], []))
        except ValueError as error:  # for a URL that the driver cannot parse; it may quote the password
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
