"""Whether two servers can be synced, or compared, at all.

The start of the daemon, each session of a flow, `snk verify` and `snk doctor` all ask here, so they report a fault in
the same words.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.catalog import ServerFacts
from snk.db.locks import lock, lock_key
from snk.db.pooler import refuse_shared_sessions
from snk.db.server import Server
from snk.errors import PairUnfit
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import Shape
from snk.pair.schema import own as schema

LEAST_VERSION = 140_000


async def look_over(server: Server) -> tuple[ServerFacts, list[PairUnfit]]:
    """Ask a server about itself; and everything that keeps SNK from working with it, whatever the tables.

    Raises:
        Unavailable: it cannot be reached, so nobody can tell.
        PairUnfit: it cannot be asked: it refuses us, or a pooler stands before it.
    """
    await refuse_shared_sessions(server)
    async with server.connect() as connection:
        facts = await catalog.server_facts(connection)
        found = list(server_faults(facts, server.address))
        return facts, found or await _schema_faults(connection, server.address)


async def look_at(server: Server, table: str) -> tuple[ServerFacts, Shape]:
    """Ask a server about itself and one table, in a transaction of its own.

    Raises:
        PairUnfit: the server is not fit; the first of its faults.
        TableUnfit: there is no such table.
    """
    async with server.begin() as connection:
        async with server.answering(connection):
            facts = await catalog.server_facts(connection)
        for fault in server_faults(facts, server.address):
            raise fault
        async with server.answering(connection):
            return facts, await lookup.table_shape(connection, table, server.label)


def server_faults(facts: ServerFacts, address: str) -> Iterator[PairUnfit]:
    """Everything for which a server cannot be one of a pair."""
    if facts.number < LEAST_VERSION:
        hint = f"SNK needs PostgreSQL {LEAST_VERSION // 10_000} or newer"
        yield PairUnfit(f"{address} is PostgreSQL {facts.version}", hint=hint)
    if facts.standby:
        yield PairUnfit(f"{address} is a standby", hint="Connect to the primary")


async def missing(connection: AsyncConnection) -> list[str]:
    """The names of what SNK has in its schema, and this database lacks."""
    names = schema.wanted(default_table=False)
    return [name for name in names if not await catalog.exists(connection, name, schema.kind_of(name))]


async def _schema_faults(connection: AsyncConnection, address: str) -> list[PairUnfit]:
    """What SNK lacks in its own schema. Without the function that waits it polls: that is no fault."""
    refused = await catalog.rights_lacking(connection, schema.SCHEMA)
    # Without USAGE nobody can tell what is in the schema.
    hidden = any(right.startswith("USAGE on schema") for right in refused)
    lacking = [] if hidden else [name for name in await missing(connection) if name != schema.WAIT]
    if lacking:
        what = f"schema {schema.SCHEMA} is" if schema.SCHEMA in lacking else ", ".join(lacking)
        hint = "Run `snk init`, or ask an owner to run the SQL that `snk init --print --role NAME` prints"
        return [PairUnfit(f"{address}: {what} missing", hint=hint)]
    if refused:
        hint = "Grant them to this role; `snk init --print --role NAME` prints the SQL"
        return [PairUnfit(f"{address}: missing rights in SNK's schema: {', '.join(refused)}", hint=hint)]
    return []


async def one_and_the_same(first: Server, second: Server) -> PairUnfit | None:
    """What to say where both settings lead to one database, which would always be found equal to itself."""
    async with first.connect() as one, second.connect() as other:
        return one_database(first, second) if await same_database((first, one), (second, other)) else None


def one_database(first: Server, second: Server) -> PairUnfit:
    """What to say of it."""
    hint = "Set FIRST_DB_* and SECOND_DB_* to two different databases"
    return PairUnfit(f"{first.address} and {second.address} are the same database", hint=hint)


async def same_database(one: tuple[Server, AsyncConnection], other: tuple[Server, AsyncConnection]) -> bool:
    """An advisory lock of one database is held against everybody in it, and against nobody elsewhere.

    System identifiers would not tell: a copy of a cluster keeps that of the original. The lock is held as long as the
    connection lives.
    """
    key = lock_key()
    server, connection = one
    async with server.answering(connection):
        await connection.execute(sa.select(lock(key)))
    again = sa.func.pg_try_advisory_lock(sa.literal(key, sa.BigInteger))
    server, connection = other
    async with server.answering(connection):
        return not (await connection.execute(sa.select(again))).scalar_one()
