"""What earlier sessions left about tables in their destination: many tables at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import Intervals
from snk.pair.core.ledger import Ledger
from snk.pair.schema.own import Conflict, LedgerKept, Rejected, ours
from snk.pair.table.rejects import HOPEFUL, Aside

_LEDGERS = sa.select(LedgerKept.table_name, LedgerKept.lows, LedgerKept.highs).where(ours(LedgerKept))
_ASIDE = (
    sa.select(Rejected.table_name, sa.func.count(), sa.func.count().filter(HOPEFUL))
    .where(ours(Rejected))
    .group_by(Rejected.table_name)
)
_CONFLICTS = sa.select(Conflict.table_name, sa.func.count()).where(ours(Conflict)).group_by(Conflict.table_name)
_DUE = sa.select(Rejected.table_name).where(ours(Rejected), Rejected.next_at <= sa.func.clock_timestamp()).distinct()


@dataclass(frozen=True, slots=True)
class Left:
    """What is kept about one table.

    Attributes:
        ledger: holes that were given up, where rows may still appear.
        aside: how many rows are set aside.
        conflicts: how many conflicts are recorded.
    """

    ledger: Ledger = Ledger()  # noqa: RUF009 - immutable
    aside: Aside = Aside()  # noqa: RUF009 - immutable
    conflicts: int = 0


async def left(connection: AsyncConnection, names: Sequence[str]) -> dict[str, Left]:
    """What is kept about each of these tables."""
    ledgers = {
        name: Ledger(Intervals.of(zip(lows, highs, strict=True)))
        for name, lows, highs in await connection.execute(_LEDGERS, {"names": list(names)})
    }
    aside, conflicts = await set_aside(connection, names), await in_conflict(connection, names)
    return {name: Left(ledgers.get(name, Ledger()), aside[name], conflicts[name]) for name in names}


async def set_aside(connection: AsyncConnection, names: Sequence[str]) -> dict[str, Aside]:
    """How many rows of each of these tables are set aside."""
    rows = (await connection.execute(_ASIDE, {"names": list(names)})).all()
    return {**dict.fromkeys(names, Aside()), **{name: Aside(count, hopeful) for name, count, hopeful in rows}}


async def in_conflict(connection: AsyncConnection, names: Sequence[str]) -> dict[str, int]:
    """How many conflicts of each of these tables are recorded."""
    rows = (await connection.execute(_CONFLICTS, {"names": list(names)})).all()
    return {**dict.fromkeys(names, 0), **{row[0]: row[1] for row in rows}}


async def due(connection: AsyncConnection, names: Sequence[str]) -> frozenset[str]:
    """Those of these tables that have rows to try again now."""
    return frozenset((await connection.execute(_DUE, {"names": list(names)})).scalars())
