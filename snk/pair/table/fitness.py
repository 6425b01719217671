"""Checks whether two servers can be synced or compared at all.

The daemon at its start, each session of a flow, `snk verify` and `snk doctor` all use these checks, so they report a
fault in the same words.
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.access import Access
from snk.db.catalog import ServerFacts
from snk.db.locks import lock, lock_key, try_lock, unlock
from snk.db.pooler import refuse_shared_sessions
from snk.db.server import Server
from snk.errors import DatabaseUnfit, TableUnfit
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import Shape
from snk.pair.core.budget import LEAST_CONNECTIONS
from snk.pair.schema import creation
from snk.pair.schema.own import SCHEMA

LEAST_VERSION = 140_000


async def look_over(server: Server, connections: int) -> tuple[ServerFacts, list[DatabaseUnfit]]:
    """Query the facts about a server, and the faults that keep SNK from working with it, whatever the tables.

    Args:
        server: the server.
        connections: how many SNK opens to it.

    Raises:
        Unavailable: the server cannot be reached.
        DatabaseUnfit: the server cannot be queried: it refuses SNK, or SNK reaches it through a pooler.
    """
    await refuse_shared_sessions(server)
    async with server.connect() as connection:
        facts = await catalog.server_facts(connection)
        found = [*server_faults(facts, server.address), *await _crowded(connection, server.address, connections)]
        return facts, found or await _schema_faults(connection, server.address)


async def look_at(access: Access, table: str) -> tuple[ServerFacts, Shape]:
    """Query the facts about a server and the shape of one table.

    Raises:
        DatabaseUnfit: the server is unfit; this is the first of its faults.
        TableUnfit: there is no such table.
    """
    async with access.using() as connection:
        facts = await catalog.server_facts(connection)
    for fault in server_faults(facts, access.server.address):
        raise fault
    return facts, await shape_of(access, table)


async def shape_of(access: Access, table: str) -> Shape:
    """Query the shape of one table, in a transaction.

    Raises:
        TableUnfit: there is no such table.
    """
    async with access.transaction() as connection:
        return await lookup.table_shape(connection, table, access.server.label)


async def shapes_of(access: Access, tables: Sequence[str]) -> dict[str, Shape | TableUnfit]:
    """Query the shapes of tables, in a transaction; an error for each that is not there."""
    async with access.transaction() as connection:
        return await lookup.table_shapes(connection, tables, access.server.label)


def server_faults(facts: ServerFacts, address: str) -> Iterator[DatabaseUnfit]:
    """The faults because of which a server cannot be part of a pair."""
    if facts.number < LEAST_VERSION:
        hint = f"SNK needs PostgreSQL {LEAST_VERSION // 10_000} or newer"
        yield DatabaseUnfit(f"{address} is PostgreSQL {facts.version}", hint=hint)
    if facts.standby:
        yield DatabaseUnfit(f"{address} is a standby", hint="Connect to the primary")


async def _crowded(connection: AsyncConnection, address: str, connections: int) -> list[DatabaseUnfit]:
    """The fault that the server does not allow SNK so many connections, however few others there are."""
    allowed = await catalog.connections_allowed(connection)
    if connections <= allowed:
        return []
    hint = f"Set SNK_CONNECTIONS to {allowed}" if allowed >= LEAST_CONNECTIONS else f"SNK needs {LEAST_CONNECTIONS}"
    return [DatabaseUnfit(f"{address} allows this role {allowed} connections; SNK opens {connections}", hint=hint)]


async def missing(connection: AsyncConnection) -> list[str]:
    """The names of the objects in SNK's schema that this database lacks."""
    names = creation.wanted(default_table=False)
    return [name for name in names if not await catalog.exists(connection, name, creation.kind_of(name))]


async def _schema_faults(connection: AsyncConnection, address: str) -> list[DatabaseUnfit]:
    """Missing objects and rights in SNK's schema. What the daemon can do without is no fault."""
    refused = await catalog.rights_lacking(connection, SCHEMA, besides=creation.OPTIONAL)
    # Without USAGE, the contents of the schema are unknown.
    hidden = any(right.startswith("USAGE on schema") for right in refused)
    lacking = [] if hidden else [name for name in await missing(connection) if name not in creation.OPTIONAL]
    if lacking:
        what = f"schema {SCHEMA} is" if SCHEMA in lacking else ", ".join(lacking)
        hint = "Run `snk init`, or ask an owner to run the SQL that `snk init --print --role NAME` prints"
        return [DatabaseUnfit(f"{address}: {what} missing", hint=hint)]
    if refused:
        hint = "Grant them to this role; `snk init --print --role NAME` prints the SQL"
        return [DatabaseUnfit(f"{address}: missing rights in SNK's schema: {', '.join(refused)}", hint=hint)]
    return []


async def one_and_the_same(first: Server, second: Server) -> DatabaseUnfit | None:
    """The error if both settings lead to one database, which would always be equal to itself; otherwise None."""
    async with first.connect() as one, second.connect() as other:
        return one_database(first, second) if await same_database((first, one), (second, other)) else None


def one_database(first: Server, second: Server) -> DatabaseUnfit:
    """The error for two settings that lead to one database."""
    hint = "Set FIRST_DB_* and SECOND_DB_* to two different databases"
    return DatabaseUnfit(f"{first.address} and {second.address} are the same database", hint=hint)


async def same_database(one: tuple[Server, AsyncConnection], other: tuple[Server, AsyncConnection]) -> bool:
    """Whether both connections lead to one database: an advisory lock excludes every session of its database only.

    System identifiers do not tell: a copy of a cluster keeps the identifier of the original.
    """
    key = lock_key()
    server, connection = one
    async with server.answering(connection):
        await connection.execute(sa.select(lock(key)))
    server, connection = other
    async with server.answering(connection):
        free: bool = (await connection.execute(sa.select(try_lock(key)))).scalar_one()
    for server, connection in (one, other) if free else (one,):
        async with server.answering(connection):
            await connection.execute(sa.select(unlock(key)))
    return not free
