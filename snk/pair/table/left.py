"""What earlier sessions left about tables in their destination: many tables at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import Intervals
from snk.pair.core.ledger import Ledger
from snk.pair.schema.own import Conflict, LedgerKept, Rejected
from snk.pair.table.rejects import HOPEFUL, Aside

_NAMES: sa.BindParameter[Any] = sa.bindparam("names", type_=pg.ARRAY(sa.Text, dimensions=1))
_OURS = {kind: kind.table_name == sa.any_(_NAMES) for kind in (LedgerKept, Rejected, Conflict)}
_LEDGERS = sa.select(LedgerKept.table_name, LedgerKept.lows, LedgerKept.highs).where(_OURS[LedgerKept])
_ASIDE = (
    sa.select(Rejected.table_name, sa.func.count(), sa.func.count().filter(HOPEFUL))
    .where(_OURS[Rejected])
    .group_by(Rejected.table_name)
)
_CONFLICTS = sa.select(Conflict.table_name, sa.func.count()).where(_OURS[Conflict]).group_by(Conflict.table_name)
_DUE = sa.select(Rejected.table_name).where(_OURS[Rejected], Rejected.next_at <= sa.func.clock_timestamp()).distinct()


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
    given = {"names": list(names)}
    ledgers = {
        name: Ledger(Intervals.of(zip(lows, highs, strict=True)))
        for name, lows, highs in await connection.execute(_LEDGERS, given)
    }
    aside = {name: Aside(rows, hopeful) for name, rows, hopeful in await connection.execute(_ASIDE, given)}
    conflicts = {row[0]: row[1] for row in await connection.execute(_CONFLICTS, given)}
    return {name: Left(ledgers.get(name, Ledger()), aside.get(name, Aside()), conflicts.get(name, 0)) for name in names}


async def due(connection: AsyncConnection, names: Sequence[str]) -> frozenset[str]:
    """Those of these tables that have rows to try again now."""
    return frozenset((await connection.execute(_DUE, {"names": list(names)})).scalars())
