"""Finds out what is known about one row in both databases."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.intervals import NOTHING, Intervals
from snk.db.server import Server
from snk.pair.core.portion import Portion
from snk.pair.repair.actions import Label
from snk.pair.repair.copy import BATCH_BYTES, Side
from snk.pair.repair.story import Aside, Seen, Story, Way
from snk.pair.schema.own import Conflict, LedgerKept, Mark, Rejected
from snk.pair.table.reader import Reader
from snk.pair.table.values import as_text
from snk.pair.verify.sides import sides_of

_KEEPS_TIMES = sa.select(sa.func.current_setting("track_commit_timestamp"))


async def story_of(first: Server, second: Server, table: str, uuid: str) -> Story:
    """Everything that both databases know about one row.

    Raises:
        Unavailable, DatabaseUnfit, TableUnfit: a server cannot be reached, or the table cannot be compared.
    """
    async with sides_of(first, second, table, lambda *given: Side(*given[:3])) as (name, (one, other)):
        seen = [await _seen(side, label, uuid) for side, label in ((one, "first"), (other, "second"))]
        ways: dict[Label, Way] = {"first": await _way(other, one, uuid), "second": await _way(one, other, uuid)}
        return Story(name, uuid, seen[0], seen[1], ways)


async def _seen(side: Side, label: Any, uuid: str) -> Seen:
    reader = Reader(side.access, side.table)
    rows = (await reader.named([uuid], Portion.of(1, BATCH_BYTES))).rows
    if not rows:
        return Seen(label)
    values = {name: as_text(column[0]) for name, column in zip(side.table.names, rows.columns, strict=True)}
    return Seen(label, values, rows.ids[0], await _committed_at(side, uuid))


async def _committed_at(side: Side, uuid: str) -> datetime | None:
    """When a row was committed, if the server keeps that."""
    if (await side.connection.execute(_KEEPS_TIMES)).scalar_one() != "on":
        return None
    at = sa.func.pg_xact_commit_timestamp(sa.literal_column("xmin"), type_=sa.DateTime(timezone=True))
    named = side.table.uuid == sa.literal(uuid, sa.Uuid(as_uuid=False))
    found = await side.connection.execute(sa.select(at).select_from(side.table.table).where(named))
    return found.scalars().first()


async def _way(source: Side, destination: Side, uuid: str) -> Way:
    """What the destination knows about the way to it, and who holds the source's rows back."""
    connection, key = destination.connection, destination.table.shape.full_name
    mark = await _one(connection, sa.select(Mark.__table__).where(Mark.table_name == key))
    ledger = await _one(connection, sa.select(LedgerKept.__table__).where(LedgerKept.table_name == key))
    ours = Rejected.table_name == key, Rejected.uuid == uuid
    aside = await _one(connection, sa.select(Rejected.__table__).where(*ours))
    conflict = await _one(
        connection, sa.select(Conflict.__table__).where(Conflict.table_name == key, Conflict.uuid == uuid)
    )
    reader = Reader(source.access, source.table)
    holes = Intervals.of(zip(mark["holes_low"], mark["holes_high"], strict=True)) if mark else NOTHING
    return Way(
        mark["high"] if mark else None,
        holes,
        Intervals.of(zip(ledger["lows"], ledger["highs"], strict=True)) if ledger else NOTHING,
        Aside(aside["error"], aside["tries"], aside["next_at"]) if aside else None,
        conflict["noticed_at"] if conflict else None,
        tuple(await reader.blockers(await reader.writers())) if holes else (),
    )


async def _one(connection: AsyncConnection, asked: sa.Select[Any]) -> Any:
    return (await connection.execute(asked)).mappings().one_or_none()
