"""Digests of one side of a table, computed in its server.

That of a set of rows is their count and the sum of their hashes (`snk.verify.hashes`), which does not depend on order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.engine import Server
from snk.db.table import IDS_ARRAY, UUIDS_ARRAY, SyncedTable
from snk.errors import RowRefused
from snk.verify.hashes import Texts, row_hash, seed
from snk.verify.ranges import UuidRange

UUID = sa.Uuid(as_uuid=False)


@dataclass(frozen=True, slots=True)
class Digest:
    """A set of rows: how many, and the sum of their hashes."""

    rows: int = 0
    total: int = 0


class Side:
    """One side of a table, to be asked for digests over one connection."""

    def __init__(self, server: Server, connection: AsyncConnection, table: SyncedTable, texts: Texts) -> None:
        self._server = server
        self._connection = connection
        self._table = table
        self._texts = texts
        self._hash = row_hash(table, texts)
        self._within = table.uuid.between(sa.bindparam("low", type_=UUID), sa.bindparam("high", type_=UUID))
        self._considered: sa.ColumnElement[bool] = sa.true()

    async def whole(self) -> Digest:
        """The digest of all rows."""
        ((rows, total),) = await self._rows(sa.select(*_digest(self._hash)).select_from(self._table.table), {})
        return Digest(rows, int(total))

    async def classes(self, count: int) -> list[Digest]:
        """The digest of each class of rows, of which there are so many, a power of two."""
        return await self._grouped(self._class(count), count, sa.true(), {})

    async def hashes_in(self, classes: Sequence[int], count: int) -> dict[str, int]:
        """The hash of every row in some classes, by uuid, in one pass over the table."""
        return await self._hashes(self._class(count) == sa.any_(sa.literal(list(classes), IDS_ARRAY)), {})

    async def ends(self, part: UuidRange) -> UuidRange | None:
        """The range from the least to the greatest uuid within a range; None if it is empty.

        Two looks into the index: not every supported version has min() and max() of uuids.
        """
        uuids = sa.select(sa.cast(self._table.uuid, sa.Text)).where(self._within).limit(1)
        low = await self._rows(uuids.order_by(self._table.uuid), _bounds(part))
        high = await self._rows(uuids.order_by(self._table.uuid.desc()), _bounds(part))
        return UuidRange.of(low[0][0], high[0][0]) if low and high else None

    async def parts(self, ranges: Sequence[UuidRange]) -> list[Digest]:
        """The digest of each of some adjacent ranges, in one pass over them."""
        bounds = [part.low_text for part in ranges[1:]]
        number = sa.func.width_bucket(self._table.uuid, sa.literal(bounds, UUIDS_ARRAY))
        return await self._grouped(number, len(ranges), self._within, _bounds(ranges[0] | ranges[-1]))

    async def hashes(self, ranges: Sequence[UuidRange]) -> dict[str, int]:
        """The hash of every row in some ranges, by uuid."""
        lows, highs = [part.low_text for part in ranges], [part.high_text for part in ranges]
        bounds = (
            sa.func.unnest(sa.literal(lows, UUIDS_ARRAY), sa.literal(highs, UUIDS_ARRAY))
            .table_valued("low", "high", name="bounds")
            .render_derived()
        )
        return await self._hashes(self._table.uuid.between(bounds.c.low, bounds.c.high) & self._considered, {})

    async def hashes_of(self, uuids: Sequence[str]) -> dict[str, int]:
        """The hash of each of these rows, by uuid, as far as they are there."""
        return await self._hashes(self._named, {"uuids": list(uuids)})

    @property
    def _named(self) -> sa.ColumnElement[bool]:
        return self._table.uuid == sa.any_(sa.bindparam("uuids", type_=UUIDS_ARRAY))

    def _class(self, count: int) -> sa.ColumnElement[int]:
        """By a hash, so that rows are spread evenly however their uuids are made."""
        return seed(self._table, 0).bitwise_and(sa.literal(count - 1, sa.BigInteger))

    async def _grouped(
        self, number: sa.ColumnElement[int], count: int, condition: sa.ColumnElement[bool], values: dict[str, Any]
    ) -> list[Digest]:
        """The digest of all rows that have the same number, for each of so many numbers.

        OFFSET hides from the planner what the numbers are made of: it would take them to be as many as the uuids, and
        sort whole rows on disk instead of counting in memory. In quotes, or it would not let several processes do it.
        """
        hashed = sa.select(number.label("number"), self._hash.label("hash")).where(condition)
        rows = hashed.offset(sa.literal_column("'0'")).subquery("rows")
        grouped = sa.select(rows.c.number, *_digest(rows.c.hash)).group_by(rows.c.number)
        found = {at: Digest(rows, int(total)) for at, rows, total in await self._rows(grouped, values)}
        return [found.get(at, Digest()) for at in range(count)]

    async def _hashes(self, condition: sa.ColumnElement[bool], values: dict[str, Any]) -> dict[str, int]:
        uuids = sa.func.string_agg(sa.cast(self._table.uuid, sa.Text), ",")
        hashes = sa.func.array_agg(self._hash, type_=IDS_ARRAY)
        ((names, numbers),) = await self._rows(sa.select(uuids, hashes).where(condition), values)
        return by_uuid(names.split(","), numbers) if names else {}

    async def _rows(self, statement: sa.Executable, values: dict[str, Any]) -> list[Any]:
        while True:
            try:
                async with self._server.answering(self._connection, "read"):
                    found = await self._connection.execute(statement, {**values, **self._texts.values})
                    return [tuple(row) for row in found]
            except RowRefused as error:
                if not self._texts.met(error.__cause__):
                    raise


def by_uuid(uuids: Sequence[str], hashes: Sequence[int]) -> dict[str, int]:
    """Hashes by uuid; a uuid that occurs several times gets their sum.

    Within one table its index forbids that, over the children of one table nothing does.
    """
    found = dict(zip(uuids, hashes, strict=True))
    if len(found) < len(uuids):
        found = dict.fromkeys(found, 0)
        for uuid, number in zip(uuids, hashes, strict=True):
            found[uuid] += number
    return found


def _digest(hashes: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[Any], ...]:
    return sa.func.count(), sa.func.coalesce(sa.func.sum(hashes), 0)


def _bounds(part: UuidRange) -> dict[str, str]:
    return {"low": part.low_text, "high": part.high_text}
