"""Both ends of a table, for tests without a daemon."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from snk.db.access import Dedicated
from snk.db.server import Server
from snk.pair.catalog.shape import Shape
from snk.pair.sync.facts import TableFacts
from snk.pair.sync.link import Link, lender_of, linked
from snk.pair.table.fitness import look_at


async def shape_on(server: Server, table: str) -> Shape:
    """The shape of a table, over a connection of its own."""
    async with server.connect() as connection:
        return (await look_at(Dedicated(server, connection), table))[1]


@asynccontextmanager
async def linked_servers(source: Server, destination: Server, table: str = "records") -> AsyncIterator[Link]:
    """Both ends of a table as the flows of a daemon reach them."""
    one, other = facts_of(source), facts_of(destination)
    try:
        yield await linked(one, other, table)
    finally:
        for facts in (one, other):
            await facts.close()
            await facts.lender.close()


def facts_of(server: Server) -> TableFacts:
    """What a daemon asks a server about its tables."""
    return TableFacts(lender_of(server, 4))
