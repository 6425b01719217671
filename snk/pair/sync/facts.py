"""What the flows of all tables ask one server when they begin: each about its own table, answered for many at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.access import transaction
from snk.db.functions import wait_briefly
from snk.db.lender import Lender, Lent
from snk.db.together import Together
from snk.errors import SnkError
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import InsertTrigger, Shape
from snk.pair.schema import sweeps
from snk.pair.schema.sweeps import Owed
from snk.pair.table import commits, left, marks
from snk.pair.table.commits import Ids
from snk.pair.table.left import Left
from snk.pair.table.marks import MarkState

AT_ONCE = 100

Bounds = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Looked:
    """A table on one side, as the catalog describes it.

    Attributes:
        triggers: the triggers that SNK's inserts fire.
        parents: full names of the tables that its foreign keys refer to.
    """

    shape: Shape
    triggers: tuple[InsertTrigger, ...]
    parents: frozenset[str]


class TableFacts:
    """Answers what flows ask one server about their tables.

    Attributes:
        lender: the connections to it.
    """

    def __init__(self, lender: Lender) -> None:
        self.lender = lender
        self._side = lender.server.label
        self._shapes = Together(lender, self._look, AT_ONCE)
        self._storages = Together(lender, sweeps.look, AT_ONCE)
        self._claims = Together(lender, marks.claim, AT_ONCE)
        self._creations = Together(lender, _create, AT_ONCE)
        self._left = Together(lender, left.left, AT_ONCE)
        self._bounds = Together(lender, _bounds_briefly, AT_ONCE, alone=_bounds)
        self._names = Together(lender, _names, AT_ONCE)
        self._owed = Together(lender, sweeps.owed, AT_ONCE)

    async def looked(self, access: Lent, table: str) -> Looked:
        """Look up a table by its name in the settings.

        Raises:
            TableUnfit: there is no such table.
        """
        return await self._shapes.of(table, access.facts.boot)

    async def rewritten(self, access: Lent, shape: Shape) -> bool:
        """Whether a table was emptied, rewritten or recreated since this was asked last; then a sweep is owed."""
        return await self._storages.of((shape.full_name, shape.storage_fingerprint), access.facts.boot)

    async def claimed(self, access: Lent, name: str, epoch: int) -> MarkState | None:
        """The mark of a table, claimed for the holder of the lease with this epoch; None if there is no mark yet.

        Raises:
            LeaseLost: a later epoch has the lease.
            MarkMoved: the mark was moved meanwhile.
        """
        return await self._claims.of((name, epoch), access.facts.boot)

    async def create(self, access: Lent, name: str, state: MarkState) -> None:
        """Write the first mark of a table, unless another daemon already did."""
        await self._creations.of((name, state), access.facts.boot)

    async def left(self, access: Lent, name: str) -> Left:
        """What earlier sessions left about a table."""
        return await self._left.of(name, access.facts.boot)

    async def bounds(self, access: Lent, ids: Ids) -> Bounds:
        """The least and the greatest id of a table; None for an empty one."""
        return await self._bounds.of(ids, access.facts.boot)

    async def full_name(self, access: Lent, table: str) -> str | None:
        """The full name of a table; None if it is not there."""
        return await self._names.of(table, access.facts.boot)

    async def owed(self, access: Lent, name: str) -> Owed | None:
        """The sweep that is owed of a table, or None."""
        return await self._owed.of(name, access.facts.boot)

    async def close(self) -> None:
        """Answer no more."""
        for questions in vars(self).values():
            if isinstance(questions, Together):
                await questions.close()

    async def _look(self, connection: AsyncConnection, names: Sequence[str]) -> dict[str, Looked | SnkError]:
        async with transaction(connection):
            shapes = await lookup.table_shapes(connection, names, self._side)
            there = [shape.relations for shape in shapes.values() if isinstance(shape, Shape)]
            triggers = await lookup.insert_triggers(connection, there)
            parents = await lookup.parents(connection, there)
        return {
            name: Looked(found, triggers[found.relations], parents[found.relations])
            if isinstance(found, Shape)
            else found
            for name, found in shapes.items()
        }


async def _names(connection: AsyncConnection, names: Sequence[str]) -> dict[str, str | SnkError | None]:
    found = await catalog.full_names(connection, names)
    return {name: found.get(name) for name in names}


async def _create(
    connection: AsyncConnection, states: Sequence[tuple[str, MarkState]]
) -> dict[tuple[str, MarkState], SnkError | None]:
    await marks.create(connection, states)
    return dict.fromkeys(states)


async def _bounds_briefly(connection: AsyncConnection, tables: Sequence[Ids]) -> dict[Ids, Bounds | SnkError]:
    async with transaction(connection):
        await wait_briefly(connection, local=True)  # a table that is locked must not hold up the others
        return await _bounds(connection, tables)


async def _bounds(connection: AsyncConnection, tables: Sequence[Ids]) -> dict[Ids, Bounds | SnkError]:
    ends = (await connection.execute(commits.bounds(tables))).scalar_one()
    return {ids: (ends[2 * at], ends[2 * at + 1]) for at, ids in enumerate(tables)}
