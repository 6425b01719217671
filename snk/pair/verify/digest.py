"""Digests of one side of a table, computed in its server.

The digest of a set of rows is their count and the sum of their hashes (`snk.pair.verify.hashes`), in any order.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.server import Server
from snk.errors import RowRefused
from snk.pair.table.statement import Ready, Statement
from snk.pair.table.synced import IDS_ARRAY, UUIDS_ARRAY, SyncedTable
from snk.pair.verify.hashes import Texts, row_hash, seed
from snk.pair.verify.ranges import UuidRange

UUID = sa.Uuid(as_uuid=False)


@dataclass(frozen=True, slots=True)
class Digest:
    """A set of rows: how many, and the sum of their hashes."""

    rows: int = 0
    total: int = 0


class TableSide:
    """Computes digests of one side of a table over one connection."""

    def __init__(self, server: Server, connection: AsyncConnection, table: SyncedTable, texts: Texts) -> None:
        self._server = server
        self._connection = connection
        self._table = table
        self._texts = texts
        self._made_hash: sa.ColumnElement[int] | None = None
        self._within = table.uuid.between(sa.bindparam("low", type_=UUID), sa.bindparam("high", type_=UUID))
        self._named = table.uuid == sa.any_(sa.bindparam("uuids", type_=UUIDS_ARRAY))
        self._considered: sa.ColumnElement[bool] = sa.true()
        # Classes are numbered by a hash, so that rows spread evenly, however their uuids are generated.
        number = seed(table, 0).bitwise_and(sa.bindparam("mask", type_=sa.BigInteger))
        in_classes = number == sa.any_(sa.bindparam("classes", type_=IDS_ARRAY))
        part = sa.func.width_bucket(table.uuid, sa.bindparam("bounds", type_=UUIDS_ARRAY))
        self._whole = Statement(table, lambda _: sa.select(*_digest(self._hash)).select_from(table.table))
        self._classes = self._grouped(number, sa.true())
        self._hashes_in_classes = self._hashes(lambda: in_classes)
        self._parts = self._grouped(part, self._within)
        self._hashes_in_ranges = self._hashes(lambda: _in_ranges(table) & self._considered)
        self._hashes_of_named = self._hashes(lambda: self._named)
        self._ends = [Statement(table, partial(_end, self._within, last=last)) for last in (False, True)]

    async def whole(self) -> Digest:
        """The digest of all rows."""
        ((rows, total),) = await self._rows(self._whole, {})
        return Digest(rows, int(total))

    async def classes(self, count: int) -> list[Digest]:
        """The digest of each of ``count`` classes of rows; ``count`` is a power of two."""
        return _in_order(await self._rows(self._classes, {"mask": count - 1}), count)

    async def hashes_in(self, classes: Sequence[int], count: int) -> dict[str, int]:
        """The hash of every row in some classes, by uuid, in one pass over the table."""
        return await self._by_uuid(self._hashes_in_classes, {"classes": list(classes), "mask": count - 1})

    async def ends(self, part: UuidRange) -> UuidRange | None:
        """The range from the least to the greatest uuid within a range; None if it is empty.

        It takes two index lookups, because not every supported version has min() and max() for uuids.
        """
        low, high = [await self._rows(end, _bounds(part)) for end in self._ends]
        return UuidRange.of(low[0][0], high[0][0]) if low and high else None

    async def parts(self, ranges: Sequence[UuidRange]) -> list[Digest]:
        """The digest of each of some adjacent ranges, in one pass over them."""
        values = {"bounds": [part.low_text for part in ranges[1:]], **_bounds(ranges[0] | ranges[-1])}
        return _in_order(await self._rows(self._parts, values), len(ranges))

    async def hashes(self, ranges: Sequence[UuidRange]) -> dict[str, int]:
        """The hash of every row in some ranges, by uuid."""
        values = {"lows": [part.low_text for part in ranges], "highs": [part.high_text for part in ranges]}
        return await self._by_uuid(self._hashes_in_ranges, values)

    async def hashes_of(self, uuids: Sequence[str]) -> dict[str, int]:
        """The hash of each of these rows that exists, by uuid."""
        return await self._by_uuid(self._hashes_of_named, {"uuids": list(uuids)})

    @property
    def _hash(self) -> sa.ColumnElement[int]:
        """The hash of a row. Most statements contain it, so its compiled text is kept.

        If the encodings differ, it contains common table expressions and parameters, so it cannot be compiled outside
        of a statement. It is no cached_property: up to Python 3.11, all instances share one lock, and the event loop
        would wait for the thread that builds the hash of a wide table.
        """
        if self._made_hash is None:
            made = row_hash(self._table, self._texts)
            if not self._texts.mixed:
                made = sa.literal_column(str(made.compile(dialect=self._connection.dialect)), sa.BigInteger)
            self._made_hash = made
        return self._made_hash

    def _grouped(self, number: sa.ColumnElement[int], condition: sa.ColumnElement[bool]) -> Statement:
        """The digest of all rows that have the same number.

        OFFSET hides from the planner how the numbers are computed. Otherwise it would expect as many numbers as uuids,
        and sort whole rows on disk instead of counting in memory. The offset is quoted: an unquoted one would prevent a
        parallel plan.
        """

        def make(_: SyncedTable) -> sa.Select[Any]:
            hashed = sa.select(number.label("number"), self._hash.label("hash")).where(condition)
            rows = hashed.offset(sa.literal_column("'0'")).subquery("rows")
            return sa.select(rows.c.number, *_digest(rows.c.hash)).group_by(rows.c.number)

        return Statement(self._table, make)

    def _hashes(self, condition: Callable[[], sa.ColumnElement[bool]]) -> Statement:
        """The uuids and the hashes of all rows that fulfil a condition."""

        def make(table: SyncedTable) -> sa.Select[Any]:
            uuids = sa.func.string_agg(sa.cast(table.uuid, sa.Text), ",")
            return sa.select(uuids, sa.func.array_agg(self._hash, type_=IDS_ARRAY)).where(condition())

        return Statement(self._table, make)

    async def _by_uuid(self, statement: Statement, values: dict[str, Any]) -> dict[str, int]:
        ((names, numbers),) = await self._rows(statement, values)
        return by_uuid(names.split(","), numbers) if names else {}

    async def _rows(self, statement: Statement, values: dict[str, Any]) -> list[Any]:
        ready = await self._ready(statement, values)
        while True:
            try:
                async with self._server.answering(self._connection, "read"):
                    found = await ready.over(self._connection, {**values, **self._texts.values})
                    return [tuple(row) for row in found]
            except RowRefused as error:
                if not self._texts.learned_from(error.__cause__):
                    raise

    async def _ready(self, statement: Statement, values: dict[str, Any]) -> Ready:
        """The statement; the first call may take long."""
        return await statement.ready(self._server, {**values, **self._texts.values})


def by_uuid(uuids: Sequence[str], hashes: Sequence[int]) -> dict[str, int]:
    """Hashes by uuid; a uuid that occurs several times gets the sum of its hashes.

    The unique index prevents duplicates within one table, but nothing prevents them across child tables.
    """
    found = dict(zip(uuids, hashes, strict=True))
    if len(found) < len(uuids):
        found = dict.fromkeys(found, 0)
        for uuid, number in zip(uuids, hashes, strict=True):
            found[uuid] += number
    return found


def _end(within: sa.ColumnElement[bool], table: SyncedTable, *, last: bool) -> sa.Select[str]:
    """The first or the last uuid within a range."""
    order = table.uuid.desc() if last else table.uuid
    return sa.select(sa.cast(table.uuid, sa.Text)).where(within).order_by(order).limit(1)


def _in_ranges(table: SyncedTable) -> sa.ColumnElement[bool]:
    """The uuid lies between one of ``lows`` and the corresponding one of ``highs``."""
    ends = (sa.bindparam(name, type_=UUIDS_ARRAY) for name in ("lows", "highs"))
    bounds = sa.func.unnest(*ends).table_valued("low", "high", name="bounds").render_derived()
    return table.uuid.between(bounds.c.low, bounds.c.high)


def _in_order(numbered: Iterable[tuple[int, int, Any]], count: int) -> list[Digest]:
    """The digests of the numbers below ``count``, in order."""
    found = {at: Digest(rows, int(total)) for at, rows, total in numbered}
    return [found.get(at, Digest()) for at in range(count)]


def _digest(hashes: sa.ColumnElement[int]) -> tuple[sa.ColumnElement[Any], ...]:
    return sa.func.count(), sa.func.coalesce(sa.func.sum(hashes), 0)


def _bounds(part: UuidRange) -> dict[str, str]:
    return {"low": part.low_text, "high": part.high_text}
