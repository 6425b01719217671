"""Rows that the destination refuses or the source cannot return: set aside and retried at growing intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.errors import DOUBTFUL, FOREIGN_KEY_VIOLATION, NOT_IN_ENCODING, doubtful, sqlstate
from snk.db.functions import interval
from snk.pair.schema.own import Conflict, Rejected
from snk.pair.table.synced import UUIDS_ARRAY

FIRST_WAIT_SECONDS = 0.5
MOST_WAIT_SECONDS = 3600.0
# If the arrival of other rows may remove the reason, retry sooner. Each arrival causes a retry, which also counts.
MOST_HOPEFUL_SECONDS = 300.0
MOST_DOUBLINGS = 20
FEW_TRIES = 10  # after these, a doubtful error is probably the row's own fault
# The code of a row that a loop of triggers created. Delivering it would continue the loop: only `snk retry` retries it.
LOOP = "SNK01"
NEVER_SECONDS = 100 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row was refused: PostgreSQL's code and message."""

    sqlstate: str
    error: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One row that was set aside; `snk.pair.schema.own.Rejected` describes the fields."""

    table_name: str
    uuid: str
    sqlstate: str
    error: str
    tries: int
    first_at: datetime
    last_at: datetime
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Aside:
    """How many rows of a table are set aside.

    Attributes:
        hopeful: those whose reason may disappear when other rows arrive: a row to which they refer arrives, or the
            server accepts rows again.
    """

    rows: int = 0
    hopeful: int = 0


HOPEFUL = sa.or_(
    Rejected.sqlstate == FOREIGN_KEY_VIOLATION,
    sa.and_(sa.func.left(Rejected.sqlstate, 2).in_(DOUBTFUL), Rejected.tries < FEW_TRIES),
)


def _most_seconds(state: str) -> float:
    """The longest wait of a row with this error code."""
    if state == LOOP:
        return NEVER_SECONDS
    hopeful = state == FOREIGN_KEY_VIOLATION or doubtful(state)
    return MOST_HOPEFUL_SECONDS if hopeful else MOST_WAIT_SECONDS


class Rejects:
    """The rows of one table that are set aside. Calls run in the caller's transaction; the caller handles errors."""

    def __init__(self, connection: AsyncConnection, table_name: str) -> None:
        self._connection = connection
        self._ours = Rejected.table_name == table_name
        self._table_name = table_name

    async def due(self, limit: int, *, hopeful: bool = False) -> list[str]:
        """The uuids that are due, the ones due longest first.

        Args:
            limit: the greatest number of uuids to return.
            hopeful: also return rows whose reason may have disappeared, now that other rows have arrived.
        """
        come = Rejected.next_at <= sa.func.clock_timestamp()
        due = sa.select(Rejected.uuid).where(self._ours, sa.or_(come, HOPEFUL) if hopeful else come)
        return list((await self._connection.execute(due.order_by(Rejected.next_at).limit(limit))).scalars())

    async def keep(self, refused: Mapping[str, Refusal]) -> None:
        """Set rows aside; a row that was tried before waits twice as long as the last time.

        Characters of an error message that the database cannot store are written as Python escapes.
        """
        for most_seconds in (MOST_WAIT_SECONDS, MOST_HOPEFUL_SECONDS, NEVER_SECONDS):
            part = {uuid: why for uuid, why in refused.items() if _most_seconds(why.sqlstate) == most_seconds}
            if part:
                await self._keep(part, most_seconds)

    async def _keep(self, refused: Mapping[str, Refusal], most_seconds: float) -> None:
        first_wait = NEVER_SECONDS if most_seconds == NEVER_SECONDS else FIRST_WAIT_SECONDS
        doubled = first_wait * sa.func.power(2, sa.func.least(Rejected.tries, MOST_DOUBLINGS))
        wait = sa.func.least(doubled, most_seconds)
        first = insert(Rejected).values(next_at=sa.func.clock_timestamp() + interval(first_wait))
        statement = first.on_conflict_do_update(
            index_elements=[Rejected.table_name, Rejected.uuid],
            set_={
                "sqlstate": first.excluded.sqlstate,
                "error": first.excluded.error,
                "tries": Rejected.tries + 1,
                "last_at": sa.func.now(),
                "next_at": sa.func.clock_timestamp() + interval(wait),
            },
        )
        values = [
            {"table_name": self._table_name, "uuid": uuid, "sqlstate": refusal.sqlstate, "error": refusal.error}
            for uuid, refusal in refused.items()
        ]
        try:
            async with self._connection.begin_nested():
                await self._connection.execute(statement, values)
        except DBAPIError as error:
            if sqlstate(error) not in NOT_IN_ENCODING:
                raise
            plain = [{**value, "error": ascii(value["error"])[1:-1]} for value in values]
            await self._connection.execute(statement, plain)

    async def forget(self, uuids: Sequence[str]) -> None:
        """Forget rows that exist in the destination now, or no longer exist in the source."""
        if not uuids:
            return
        ours = Rejected.uuid == sa.any_(sa.literal(list(uuids), UUIDS_ARRAY))
        await self._connection.execute(sa.delete(Rejected).where(self._ours, ours))


async def outstanding(connection: AsyncConnection) -> tuple[int, int]:
    """The number of rows set aside and of conflicts recorded in this database, for all tables."""
    counts = (sa.select(sa.func.count()).select_from(kind).scalar_subquery() for kind in (Rejected, Conflict))
    rejected, conflicts = (await connection.execute(sa.select(*counts))).one()
    return int(rejected), int(conflicts)


async def rejected_rows(connection: AsyncConnection, limit: int) -> tuple[int, list[RejectedRow]]:
    """The number of rows set aside in this database, for all tables, and the rows that were refused last."""
    count = (await connection.execute(sa.select(sa.func.count()).select_from(Rejected))).scalar_one()
    newest = sa.select(Rejected.__table__).order_by(Rejected.last_at.desc(), Rejected.uuid).limit(limit)
    return int(count), [RejectedRow(**row) for row in (await connection.execute(newest)).mappings()]


async def recorded(
    connection: AsyncConnection, kind: type[Rejected | Conflict], table_name: str, uuids: Sequence[str]
) -> frozenset[str]:
    """Those uuids of a table that this database has set aside, or has recorded as conflicts."""
    named = kind.uuid == sa.any_(sa.literal(list(uuids), UUIDS_ARRAY))
    known = sa.select(kind.uuid).where(kind.table_name == table_name, named)
    return frozenset((await connection.execute(known)).scalars())


async def hasten(connection: AsyncConnection, uuids: Sequence[str]) -> int:
    """Make rows due, so that the daemon retries them at its next check; all rows if no uuid is given.

    Returns:
        The number of rows.
    """
    hasten = sa.update(Rejected).values(next_at=sa.func.now())
    if uuids:
        hasten = hasten.where(Rejected.uuid == sa.any_(sa.literal(list(uuids), UUIDS_ARRAY)))
    return (await connection.execute(hasten)).rowcount
