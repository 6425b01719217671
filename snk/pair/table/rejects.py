"""Rows that the destination refuses, or the source cannot give: set aside there, and tried again ever more rarely."""

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
# What others may bring about is worth another look sooner: each of them has it tried, and that counts, too.
MOST_HOPEFUL_SECONDS = 300.0
MOST_DOUBLINGS = 20
FEW_TRIES = 10  # then a row with a doubtful reason is rather to blame itself
# Of a row that a loop of triggers made, which only goes on if it is delivered: only `snk retry` has it tried again.
LOOP = "SNK01"
NEVER_SECONDS = 100 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a row was refused: PostgreSQL's code, and its sentence."""

    sqlstate: str
    error: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """One row that was set aside; `snk.pair.schema.own.Rejected` tells what its parts mean."""

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
        hopeful: those of them whose reason may go away as others arrive: a row to which they refer, or that the server
            takes rows again.
    """

    rows: int = 0
    hopeful: int = 0


_HOPEFUL = sa.or_(
    Rejected.sqlstate == FOREIGN_KEY_VIOLATION,
    sa.and_(sa.func.left(Rejected.sqlstate, 2).in_(DOUBTFUL), Rejected.tries < FEW_TRIES),
)


def _most_seconds(state: str) -> float:
    """How long a row with such a reason waits at most."""
    if state == LOOP:
        return NEVER_SECONDS
    hopeful = state == FOREIGN_KEY_VIOLATION or doubtful(state)
    return MOST_HOPEFUL_SECONDS if hopeful else MOST_WAIT_SECONDS


class Rejects:
    """What was set aside of one table. Calls are part of the caller's transaction, and so is its handling of errors."""

    def __init__(self, connection: AsyncConnection, table_name: str) -> None:
        self._connection = connection
        self._ours = Rejected.table_name == table_name
        self._table_name = table_name

    async def count(self) -> Aside:
        """How many rows are set aside."""
        count = sa.select(sa.func.count(), sa.func.count().filter(_HOPEFUL)).select_from(Rejected).where(self._ours)
        rows, hopeful = (await self._connection.execute(count)).one()
        return Aside(int(rows), int(hopeful))

    async def due(self, limit: int, *, hopeful: bool = False) -> list[str]:
        """The uuids whose time has come, those that wait longest first.

        Args:
            limit: so many at most.
            hopeful: as if the time of those had come whose reason may be gone now that others have arrived.
        """
        come = Rejected.next_at <= sa.func.clock_timestamp()
        due = sa.select(Rejected.uuid).where(self._ours, sa.or_(come, _HOPEFUL) if hopeful else come)
        return list((await self._connection.execute(due.order_by(Rejected.next_at).limit(limit))).scalars())

    async def keep(self, refused: Mapping[str, Refusal]) -> None:
        """Set rows aside; one that was tried before waits twice as long as the last time.

        What a reason holds that the database cannot store is written as Python would.
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
        """These rows are there now, or nowhere any more."""
        if not uuids:
            return
        ours = Rejected.uuid == sa.any_(sa.literal(list(uuids), UUIDS_ARRAY))
        await self._connection.execute(sa.delete(Rejected).where(self._ours, ours))


async def outstanding(connection: AsyncConnection) -> tuple[int, int]:
    """How many rows this database has set aside, and how many conflicts it has recorded, of all tables."""
    counts = (sa.select(sa.func.count()).select_from(kind).scalar_subquery() for kind in (Rejected, Conflict))
    rejected, conflicts = (await connection.execute(sa.select(*counts))).one()
    return int(rejected), int(conflicts)


async def rejected_rows(connection: AsyncConnection, limit: int) -> tuple[int, list[RejectedRow]]:
    """How many rows this database has set aside, of all tables, and those refused last."""
    count = (await connection.execute(sa.select(sa.func.count()).select_from(Rejected))).scalar_one()
    newest = sa.select(Rejected.__table__).order_by(Rejected.last_at.desc(), Rejected.uuid).limit(limit)
    return int(count), [RejectedRow(**row) for row in (await connection.execute(newest)).mappings()]


async def recorded(
    connection: AsyncConnection, kind: type[Rejected | Conflict], table_name: str, uuids: Sequence[str]
) -> frozenset[str]:
    """Which rows of a table this database has set aside, or has recorded as conflicts."""
    named = kind.uuid == sa.any_(sa.literal(list(uuids), UUIDS_ARRAY))
    known = sa.select(kind.uuid).where(kind.table_name == table_name, named)
    return frozenset((await connection.execute(known)).scalars())


async def hasten(connection: AsyncConnection, uuids: Sequence[str]) -> int:
    """Have rows tried at the daemon's next look, all of them if none is named.

    Returns:
        How many there are.
    """
    hasten = sa.update(Rejected).values(next_at=sa.func.now())
    if uuids:
        hasten = hasten.where(Rejected.uuid == sa.any_(sa.literal(list(uuids), UUIDS_ARRAY)))
    return (await connection.execute(hasten)).rowcount
