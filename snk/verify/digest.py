"""Digests of one side of a table, computed in its server.

A row's digest is PostgreSQL's own 64-bit hash of all copied columns, uuid included; that of a set of rows is their
count and the sum of their digests, which does not depend on order. Values without a plain type are hashed as text, so
that types without a hash of their own are covered too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.engine import Server
from snk.db.table import UUIDS_ARRAY, SyncedTable
from snk.verify.ranges import UuidRange


@dataclass(frozen=True, slots=True)
class Digest:
    """A set of rows: how many, and the sum of their hashes."""

    rows: int = 0
    total: Decimal = Decimal(0)


class Side:
    """One side of a table, to be asked for digests over one connection."""

    def __init__(self, server: Server, connection: AsyncConnection, table: SyncedTable) -> None:
        self._server = server
        self._connection = connection
        self._table = table
        self._hash = sa.func.hash_record_extended(sa.func.row(*table.comparable), sa.literal(0, sa.BigInteger))
        self._within = table.uuid.between(sa.bindparam("low", type_=UUID), sa.bindparam("high", type_=UUID))

    async def whole(self) -> Digest:
        """The digest of all rows."""
        ((rows, total),) = await self._rows(sa.select(*self._digest).select_from(self._table.table), {})
        return Digest(rows, total)

    async def ends(self) -> UuidRange | None:
        """The least and the greatest uuid, or None for an empty table."""
        ends = [
            await self._rows(sa.select(sa.cast(self._table.uuid, sa.Text)).order_by(order).limit(1), {})
            for order in (self._table.uuid, self._table.uuid.desc())
        ]
        return UuidRange.of(ends[0][0][0], ends[1][0][0]) if ends[0] else None

    async def parts(self, ranges: Sequence[UuidRange]) -> list[Digest]:
        """The digest of each of some adjacent ranges, in one pass over them."""
        bounds = [part.low_text for part in ranges[1:]]
        number = sa.func.width_bucket(self._table.uuid, sa.literal(bounds, UUIDS_ARRAY)).label("number")
        grouped = sa.select(number, *self._digest).where(self._within).group_by(number)
        values = {"low": ranges[0].low_text, "high": ranges[-1].high_text}
        found = {at: Digest(rows, total) for at, rows, total in await self._rows(grouped, values)}
        return [found.get(at, Digest()) for at in range(len(ranges))]

    async def hashes(self, part: UuidRange) -> dict[str, int]:
        """The hash of every row in a range, by uuid."""
        return await self._hashes(self._within, {"low": part.low_text, "high": part.high_text})

    async def hashes_of(self, uuids: Sequence[str]) -> dict[str, int]:
        """The hash of each of these rows, by uuid, as far as they are there."""
        wanted = self._table.uuid == sa.any_(sa.bindparam("uuids", type_=UUIDS_ARRAY))
        return await self._hashes(wanted, {"uuids": list(uuids)})

    @property
    def _digest(self) -> tuple[sa.ColumnElement[Any], ...]:
        return sa.func.count(), sa.func.coalesce(sa.func.sum(self._hash), 0)

    async def _hashes(self, condition: sa.ColumnElement[bool], values: dict[str, Any]) -> dict[str, int]:
        uuids = sa.func.array_agg(sa.cast(self._table.uuid, sa.Text), type_=ARRAY(sa.Text, dimensions=1))
        hashes = sa.func.array_agg(self._hash, type_=ARRAY(sa.BigInteger, dimensions=1))
        ((names, numbers),) = await self._rows(sa.select(uuids, hashes).where(condition), values)
        return dict(zip(names or (), numbers or (), strict=True))

    async def _rows(self, statement: sa.Executable, values: dict[str, Any]) -> list[Any]:
        with self._server.translated():
            return [tuple(row) for row in await self._connection.execute(statement, values)]


UUID = sa.Uuid(as_uuid=False)
