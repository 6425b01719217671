"""Checks what the re-sync needs, and what is likely wrong when nothing fits. Changes nothing."""

from collections.abc import AsyncIterator

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.finding import Finding
from snk.db.catalog import as_identifier, server_facts
from snk.db.journal import JOURNAL, SCHEMA, exists
from snk.errors import SnkError
from snk.resync.database import held, method_of, project_ids, snapshot
from snk.resync.redis import other_databases
from snk.resync.run import Place, Sides, sides

SAMPLE = 20
"""Projects whose counters are looked for."""
ONLY_REPAIRS = "A repair needs it, and a check does not"


async def examine(place: Place) -> AsyncIterator[Finding]:
    """Look at both sides, the names of tables, columns and keys, and the rights of the database's role."""
    try:
        async with sides(place) as both:
            yield Finding("ok", both.counters.address, "it answers")
            async with snapshot(both.server) as connection:
                async for finding in _database(connection, both):
                    yield finding
                projects = await project_ids(connection, both.found)
                keys = await _keys(connection, both, projects)
            yield Finding("ok", both.server.address, "the four tables have the columns that [resync] names")
            yield Finding("ok", both.server.address, f"{len(projects):,} projects")
            yield await _counters(both, keys)
    except SnkError as error:
        yield Finding("error", "resync", str(error))


async def _database(connection: AsyncConnection, both: Sides) -> AsyncIterator[Finding]:
    address = both.server.address
    facts = await server_facts(connection)
    yield Finding("ok", address, f"PostgreSQL {facts.version}")
    if facts.standby:
        yield Finding("error", address, "it is a standby, which may be behind", "Set resync.database to its primary")
    async for finding in _rights(connection, both):
        yield finding


async def _rights(connection: AsyncConnection, both: Sides) -> AsyncIterator[Finding]:
    """The rights that a check needs, and those that only a repair needs."""
    address, names = both.server.address, both.found.names
    rows = (names.row.table, names.label.table)
    for table in (names.project.table, names.task.table, *rows):
        if not await _may(connection, table, "SELECT"):
            yield Finding("error", address, f"the role lacks the right SELECT on {table}", "Every check needs it")
    for table in rows:
        if not await _may(connection, table, "INSERT"):
            yield Finding("warning", address, f"the role lacks the right INSERT on {table}", ONLY_REPAIRS)
    usable = sa.func.has_schema_privilege(sa.func.to_regnamespace(SCHEMA), "USAGE")
    usage = (await connection.execute(sa.select(usable))).scalar_one()  # None if there is no such schema
    if usage is False:
        yield Finding("warning", address, f"the role lacks the right USAGE on the schema {SCHEMA}", ONLY_REPAIRS)
    elif usage is None or not await exists(connection):
        advice = "The first synchronisation creates it, or `snk resync init`"
        yield Finding("warning", address, f"there is no journal {JOURNAL.fullname}", advice)


async def _may(connection: AsyncConnection, table: str, right: str) -> bool:
    privilege = sa.func.has_table_privilege(sa.literal(as_identifier(table)), right)
    return bool((await connection.execute(sa.select(privilege))).scalar_one())


async def _keys(connection: AsyncConnection, both: Sides, projects: list[str]) -> list[str]:
    """The keys of some counters that must exist."""
    keys: list[str] = []
    for project in projects[:SAMPLE]:
        method = await method_of(connection, both.found, project)
        for holding in (await held(connection, both.found, project, method)).tasks:
            names = both.found.names.keys_of(holding.task)
            some = list(holding.rows)[:SAMPLE]
            keys += [names.pointer] if method == "single" and some else [names.of_source(each) for each in some]
    return keys


async def _counters(both: Sides, keys: list[str]) -> Finding:
    """Whether some counters are found under the names that the settings give them."""
    values = await both.counters.values(keys)
    there = [key for key, value in values.items() if value is not None]
    address = both.counters.address
    if there or not keys:
        return Finding("ok", address, f"{len(there):,} of {len(keys):,} counters that were looked for exist")
    advice = "Check resync.key_prefix, [resync.keys], and the database's number in resync.redis"
    similar = await both.counters.similar(both.found.names.stems)
    if similar:
        message = f"none of {len(keys):,} counters exists, such as {keys[0]}, but similar keys do: {', '.join(similar)}"
        return Finding("error", address, message, advice)
    others = await other_databases(both.counters.client)
    hint = f"; databases {', '.join(others)} hold keys" if others else ""
    return Finding("warning", address, f"none of {len(keys):,} counters exists, such as {keys[0]}{hint}", advice)
