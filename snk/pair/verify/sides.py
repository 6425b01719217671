"""Opens both sides of a table, each over a separate connection, after checking that they have the same shape."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.access import Dedicated
from snk.db.lender import Door
from snk.db.server import Server
from snk.pair.catalog.shape import differences, faults
from snk.pair.table.fitness import look_at, one_database, same_database
from snk.pair.table.statement import mapped
from snk.pair.table.synced import SyncedTable
from snk.pair.verify.hashes import Texts
from snk.pair.verify.search import both

S = TypeVar("S")

Make = Callable[[Server, AsyncConnection, SyncedTable, Texts], S]


@asynccontextmanager
async def sides_of(first: Door, second: Door, table: str, make: Make[S]) -> AsyncIterator[tuple[str, list[S]]]:
    """The table's full name and its two sides, valid within the block.

    Args:
        first: database A, over a connection that is opened, or that is lent.
        second: database B.
        table: its name in the settings.
        make: makes a side.

    Raises:
        Unavailable: a server cannot be reached.
        DatabaseUnfit, TableUnfit: the table cannot be compared.
    """
    async with first.connect() as one, second.connect() as other:
        accesses = Dedicated(_server(first), one), Dedicated(_server(second), other)
        if await same_database(*((access.server, access.connection) for access in accesses)):
            raise one_database(*(access.server for access in accesses))
        yield await _sides(accesses, table, make)


def _server(door: Door) -> Server:
    return door if isinstance(door, Server) else door.server


async def _sides(accesses: Sequence[Dedicated], table: str, make: Make[S]) -> tuple[str, list[S]]:
    looks = await both(look_at(access, table) for access in accesses)
    servers = [access.server for access in accesses]
    shapes = [shape for _, shape in looks]
    found = [fault for server, shape in zip(servers, shapes, strict=True) for fault in faults(shape, server.label)]
    for fault in found or differences(*shapes):
        raise fault
    texts = Texts.of(*(facts.encoding for facts, _ in looks))
    tables = [await mapped(shape) for shape in shapes]
    connections = [access.connection for access in accesses]
    return shapes[0].full_name, list(map(make, servers, connections, tables, texts))
