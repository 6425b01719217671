"""Opens both sides of a table, each over a separate connection, after checking that they have the same shape."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

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
async def sides_of(first: Server, second: Server, table: str, make: Make[S]) -> AsyncIterator[tuple[str, list[S]]]:
    """The table's full name and its two sides, valid within the block.

    Raises:
        Unavailable: a server cannot be reached.
        DatabaseUnfit, TableUnfit: the table cannot be compared.
    """
    servers = (first, second)
    looks = await both(look_at(server, table) for server in servers)
    shapes = [shape for _, shape in looks]
    found = [fault for server, shape in zip(servers, shapes, strict=True) for fault in faults(shape, server.label)]
    for fault in found or differences(*shapes):
        raise fault
    async with first.connect() as one, second.connect() as other:
        if await same_database((first, one), (second, other)):
            raise one_database(first, second)
        texts = Texts.of(*(facts.encoding for facts, _ in looks))
        tables = [await mapped(shape) for shape in shapes]
        yield shapes[0].full_name, list(map(make, servers, (one, other), tables, texts))
