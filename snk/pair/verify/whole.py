"""Digests of whole small tables, many in one statement: this is all that a sweep does if both sides of one are equal.

Most of hundreds of tables are small, and a sweep of its own takes some thirty statements for each, however few rows it
has. Here ten tables that are swept at the same time are looked up and digested together, in a few statements.

Nothing is decided here but that both sides are equal. If they are not, if a table is large, or if it cannot be told in
a second, the table is swept on its own (`snk.pair.verify.sweep`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.access import transaction
from snk.db.errors import refused
from snk.db.functions import setting, wait_briefly
from snk.db.lender import Lender, Lent
from snk.db.together import Together
from snk.errors import SnkError
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import Shape, differences, faults
from snk.pair.table.statement import Part, Statement, joined, mapped
from snk.pair.table.synced import SyncedTable
from snk.pair.verify.hashes import Texts, row_hash
from snk.pair.verify.slices import halves
from snk.pair.verify.throttle import Throttles

MOST_ROWS = 1000
MOST_COLUMNS = 100
MOST_TABLES = 10
MOST_TIME = "1s"
MOST_KEPT = 1000


Sums = tuple[int, int, int]
"""How many rows, and both halves of the sum of their hashes."""


@dataclass(frozen=True, slots=True)
class Whole:
    """One side of a table.

    Attributes:
        sums: of all its rows; None if it is not small, or unfit.
    """

    shape: Shape
    sums: Sums | None = None


class WholeDigests:
    """Answers for all sweeps of a daemon.

    Statements are kept by table: what they depend on is looked up each time.
    """

    def __init__(self, doors: tuple[Lender, Lender], throttles: Throttles) -> None:
        """Assign.

        Args:
            doors: to both servers, for sweeps.
            throttles: limits on the load of sweeps, by the server's label.
        """
        self._doors = doors
        self._sides = [_Side(door, throttles) for door in doors]

    async def equal(self, table: str) -> int | None:
        """How many rows both sides of a table have, if it is small and they are equal now; otherwise None.

        Args:
            table: its name in the settings.

        Raises:
            SnkError: a server cannot be reached, or the table is not there.
        """
        accesses = [await Lent.of(door) for door in self._doors]
        one, other = (access.facts for access in accesses)
        # Texts of different encodings have other hashes. What looks like one database may be a copy.
        if one.identity == other.identity or Texts.of(one.encoding, other.encoding)[0].mixed:
            return None
        try:
            found = [
                await side.of(table, access.facts.boot) for side, access in zip(self._sides, accesses, strict=True)
            ]
        except SnkError as error:
            if refused(error):
                return None
            raise
        first, second = found
        if first.sums is None or first.sums != second.sums or any(differences(first.shape, second.shape)):
            return None
        return first.sums[0]

    async def close(self) -> None:
        """Answer no more."""
        for side in self._sides:
            await side.close()


class _Side:
    def __init__(self, door: Lender, throttles: Throttles) -> None:
        self._server = door.server
        self._throttle = throttles[door.server.label]
        self._together = Together(door, self._look, MOST_TABLES)
        self._parts: dict[str, tuple[Shape, Part]] = {}
        self.of = self._together.of
        self.close = self._together.close

    async def _look(self, connection: AsyncConnection, tables: Sequence[str]) -> Mapping[str, Whole | SnkError]:
        async with transaction(connection):
            shapes = await lookup.table_shapes(connection, tables, self._server.label)
        fit = {table: shape for table, shape in shapes.items() if isinstance(shape, Shape) and self._fits(shape)}
        parts = [await self._part(table, shape) for table, shape in fit.items()]
        sums = await self._sums(connection, parts) if parts else []
        told = {table: found for table, found in zip(fit, sums, strict=True) if found[0] <= MOST_ROWS}
        return {
            table: Whole(shape, told.get(table)) if isinstance(shape, Shape) else shape
            for table, shape in shapes.items()
        }

    def _fits(self, shape: Shape) -> bool:
        return len(shape.columns) <= MOST_COLUMNS and not any(faults(shape, self._server.label))

    async def _part(self, table: str, shape: Shape) -> Part:
        """The part of a statement that digests one table."""
        if len(self._parts) > MOST_KEPT:
            self._parts.clear()
        made_for, part = self._parts.get(table, (None, None))
        if part is None or made_for != shape:
            part = await Statement(await mapped(shape), _digested, key="whole").part(self._server)
            self._parts[table] = shape, part
        return part

    async def _sums(self, connection: AsyncConnection, parts: Sequence[Part]) -> list[Sums]:
        async with self._throttle.statement(), transaction(connection):
            await wait_briefly(connection, local=True)
            await connection.execute(sa.select(setting("statement_timeout", MOST_TIME, local=True)))
            found = (await connection.execute(joined(parts))).scalar_one()
        return [(rows, high, low) for rows, high, low in found]


def _digested(table: SyncedTable) -> sa.Select[Any]:
    """How many rows a table has, up to one too many, and both halves of the sum of their hashes, as one array."""
    rows = sa.select(row_hash(table, Texts()).label("hash")).limit(sa.literal_column(str(MOST_ROWS + 1))).subquery()
    sums: Any = [sa.func.count(), *(sa.func.coalesce(sa.func.sum(half), 0) for half in halves(rows.c.hash))]
    return sa.select(array(sums, type_=sa.BigInteger)).select_from(rows)
