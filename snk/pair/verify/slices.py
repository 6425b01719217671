"""Digests one side of a table in slices, so that applications hardly notice.

One statement over a large table would hold back VACUUM with its snapshot and occupy a processor until it ends. A digest
is a sum, so the digest of a table is the sum of the digests of its slices. Each slice is a short statement with its own
snapshot, followed by a rest (`snk.pair.verify.throttle`).

The slices follow the id, because rows are mostly stored in insertion order. Ids mean nothing on the other side, so a
slice is digested by ranges of uuids, and these digests are added up. A slice ends after a number of rows, not after a
number of ids, because ids may be sparse. If the ids have no index, slices follow the uuids, which always have one.

A pass includes only rows whose id, or uuid, is at most the greatest one at its start. This bounds the pass on a growing
table.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.functions import array_text, setting
from snk.db.server import Server
from snk.pair.table import questions
from snk.pair.table.reader import plan_by_index
from snk.pair.table.statement import Statement
from snk.pair.table.synced import IDS_ARRAY, UUIDS_ARRAY, SyncedTable
from snk.pair.verify import throttle
from snk.pair.verify.digest import UUID, Digest, TableSide
from snk.pair.verify.hashes import Texts
from snk.pair.verify.ranges import ALL, UuidRange

KEPT_BITS = ~(1 << 31)
"""The bits of a hash that a digest by slices adds up.

They are added up in two halves, as integers: the sums are bigints, which the server adds and the driver reads several
times faster than numerics. One bit is left out, so that both halves fit.
"""

MANY = 2**62

Passed = Callable[[float], None]
"""Called with the share of a pass that is done, from 0 to 1."""


def _to_nobody(share: float) -> None:
    """Ignore how far a pass has come."""


class SlicedTableSide(TableSide):
    """One side, whose server is queried only as often as a throttle permits.

    Attributes:
        most_rows: upper bound for the number of rows in the pass, estimated from the ids.
    """

    def __init__(
        self,
        server: Server,
        connection: AsyncConnection,
        table: SyncedTable,
        texts: Texts,
        by: throttle.Throttle,
    ) -> None:
        super().__init__(server, connection, table, texts)
        self._throttle = by
        self._took_seconds = 0.0
        self._stride = throttle.Stride(throttle.FIRST_ROWS)
        self._indexed = table.shape.id_column.indexed
        self._first_id, self._last_id = 0, -1
        self.most_rows = 0
        # Not every supported version has max() for uuids.
        last_uuid = sa.collate(sa.cast(table.uuid, sa.Text), "C")
        self._slice_by_id = self._slice(table.id, sa.BigInteger(), table.id)
        self._slice_by_uuid = self._slice(table.uuid, UUID, last_uuid)
        self._newer = self._hashes(lambda: _first_above(table))
        self._older = self._hashes(lambda: self._named & self._considered)
        self._ends_of_ids = Statement(table, questions.bounds)

    async def begin(self) -> None:
        """Determine which rows the pass includes, and make the planner use indexes for every statement.

        A sequential scan is never right for a slice, and no slice is worth a parallel worker.
        """
        async with self._server.answering(self._connection):
            await plan_by_index(self._connection)
            await self._connection.execute(sa.select(setting("max_parallel_workers_per_gather", "0")))
        if not self._indexed:
            # Finding the greatest id, or rows above it, would require reading the whole table.
            ends = await self.ends(ALL)
            self._considered = self._table.uuid <= sa.literal(ends.high_text, UUID) if ends else sa.false()
            self.most_rows = MANY
            return
        ((low, high),) = await self._rows(self._ends_of_ids, {})
        if low is not None:
            self._first_id, self._last_id = low, high
        self._considered = self._table.id <= sa.literal(self._last_id, sa.BigInteger)
        self.most_rows = self._last_id - self._first_id + 1

    async def whole_by(self, ranges: Sequence[UuidRange], passed: Passed = _to_nobody) -> list[Digest]:
        """The digest of each of some adjacent ranges that hold all uuids, in one pass over the table."""
        if not self._indexed:
            return await self.parts(ranges, passed)
        tally = _Tally(ranges)
        start = self._first_id
        while start <= self._last_id:
            last = await self._take(tally, self._slice_by_id, {"start": start, "end": self._last_id})
            if last is None:
                break
            start = last + 1
            passed((start - self._first_id) / self.most_rows)
        passed(1.0)
        return tally.digests

    async def parts(self, ranges: Sequence[UuidRange], passed: Passed = _to_nobody) -> list[Digest]:
        """The digest of each of some adjacent ranges, in one pass over their uuids."""
        tally = _Tally(ranges)
        whole = ranges[0] | ranges[-1]
        left: UuidRange | None = whole
        while left:
            values = {"start": left.low_text, "end": left.high_text}
            last = await self._take(tally, self._slice_by_uuid, values)
            low = left.high if last is None else UuidRange.of(last, last).low
            left = UuidRange(low + 1, left.high) if low < left.high else None
            passed((low + 1 - whole.low) / (whole.high + 1 - whole.low))
        return tally.digests

    async def newer(self, most: int) -> dict[str, int]:
        """The hash of each of the first rows that arrived after the pass began, by uuid; empty if ids have no index."""
        if not self._indexed:
            return {}
        return await self._by_uuid(self._newer, {"above": self._last_id, "count": most})

    async def older(self, uuids: Sequence[str]) -> dict[str, int]:
        """The hash of each of these rows that the pass includes, by uuid."""
        return await self._by_uuid(self._older, {"uuids": list(uuids)})

    def _slice(
        self, key: sa.ColumnElement[Any], type_: sa.types.TypeEngine[Any], last: sa.ColumnElement[Any]
    ) -> Statement:
        """The first rows by a key, digested by range. It uses WITH TIES, so that equal keys stay in one slice."""
        start, end = sa.bindparam("start", type_=type_), sa.bindparam("end", type_=type_)

        def make(table: SyncedTable) -> sa.Select[Any]:
            # Pass the bounds as one text: the driver need not encode an array, and the subquery parses it only once.
            bounds = sa.select(sa.cast(sa.bindparam("bounds", type_=sa.Text), UUIDS_ARRAY)).scalar_subquery()
            number = sa.func.width_bucket(table.uuid, bounds)
            rows = (
                sa.select(number.label("number"), self._hash.label("hash"), last.label("last"))
                .where(key >= start, key <= end, self._considered)
                .order_by(key)
                .fetch(sa.bindparam("most", type_=sa.BigInteger), with_ties=True)
                .subquery()
            )
            return _added_up(rows)

        return Statement(self._table, make)

    async def _take(self, tally: "_Tally", statement: Statement, values: dict[str, Any]) -> Any:
        """Add one slice to a tally.

        Returns:
            Its last key, or None if no rows are left after it.
        """
        most = self._stride.rows
        ((last, *sums),) = await self._rows(statement, {**values, "bounds": tally.bounds, "most": most})
        self._stride = self._stride.after(self._took_seconds)
        return None if last is None or tally.add(*sums) < most else last

    async def _rows(self, statement: Statement, values: dict[str, Any]) -> list[Any]:
        await self._ready(statement, values)  # outside of the throttle, so that others do not wait for it
        async with self._throttle.statement():
            began = time.monotonic()
            rows = await super()._rows(statement, values)
            self._took_seconds = time.monotonic() - began
        return rows


def _first_above(table: SyncedTable) -> sa.ColumnElement[bool]:
    """The row is one of the first ``count`` whose id is above ``above``."""
    above = table.id > sa.bindparam("above", type_=sa.BigInteger)
    count = sa.bindparam("count", type_=sa.BigInteger)
    rows = sa.select(table.id).where(above).order_by(table.id).limit(count).subquery()
    return sa.and_(above, table.id <= sa.select(sa.func.max(rows.c[0])).scalar_subquery())


def halves(hashed: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[int], sa.ColumnElement[int]]:
    """Both halves of a hash as integers, without the bit that `KEPT_BITS` lacks."""
    high = hashed.bitwise_rshift(sa.literal_column("32", sa.Integer))
    low = hashed.bitwise_and(sa.literal_column(str((1 << 31) - 1), sa.BigInteger))
    return sa.cast(high, sa.Integer), sa.cast(low, sa.Integer)


def _added_up(rows: sa.Subquery) -> sa.Select[Any]:
    """The digests of numbered rows: the last key of all, the numbers, and for each number its count and both halves."""
    high, low = (sa.func.sum(half) for half in halves(rows.c.hash))
    groups = (
        sa.select(
            rows.c.number,
            sa.func.count().label("count"),
            high.label("high"),
            low.label("low"),
            sa.func.max(rows.c.last).label("last"),
        )
        .group_by(rows.c.number)
        .subquery()
    )
    numbers = sa.func.array_agg(groups.c.number, type_=ARRAY(sa.Integer, dimensions=1))
    sums = [sa.func.array_agg(column, type_=IDS_ARRAY) for column in (groups.c.count, groups.c.high, groups.c.low)]
    columns: list[sa.ColumnElement[Any]] = [sa.func.max(groups.c.last), numbers, *sums]
    return sa.select(*columns)


class _Tally:
    """Adds up digests by range."""

    def __init__(self, ranges: Sequence[UuidRange]) -> None:
        self.bounds = array_text(part.low_text for part in ranges[1:])
        self._rows = [0] * len(ranges)
        self._totals = [0] * len(ranges)

    def add(self, numbers: Sequence[int], counts: Sequence[int], highs: Sequence[int], lows: Sequence[int]) -> int:
        """Add a slice, and return how many rows it contained."""
        for at, count, high, low in zip(numbers, counts, highs, lows, strict=True):
            self._rows[at] += count
            self._totals[at] += (high << 32) + low
        return sum(counts)

    @property
    def digests(self) -> list[Digest]:
        """The digest of each range."""
        return [Digest(rows, total) for rows, total in zip(self._rows, self._totals, strict=True)]
