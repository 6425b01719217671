"""The doctor's findings about a table on one side."""

from collections.abc import AsyncIterator, Iterator, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.finding import Finding
from snk.db.identifiers import identifier
from snk.db.server import Server
from snk.errors import TableUnfit
from snk.pair.catalog import activity, checkup, lookup
from snk.pair.catalog.shape import Shape, faults
from snk.pair.doctor.ids import of_ids
from snk.pair.doctor.looked import Looked, fatal
from snk.pair.doctor.triggers import of_triggers

LONG_SECONDS = 60.0


async def of_tables(looked: Looked, tables: Sequence[str]) -> AsyncIterator[Finding]:
    """Findings about tables, by their names in the settings; adds the tables that exist to ``shapes``."""
    server = looked.server
    for table in tables:
        try:
            async with server.begin() as connection:
                shape = await lookup.table_shape(connection, table, server.label)
        except TableUnfit as error:
            yield fatal(table, error)
            continue
        looked.shapes[table] = shape
        wrong = list(faults(shape, server.label))
        for fault in wrong:
            yield fatal(shape.full_name, fault)
        if not wrong:
            async for finding in _of_table(server, shape):
                yield finding


async def _of_table(server: Server, shape: Shape) -> AsyncIterator[Finding]:
    label = server.label
    yield Finding("ok", shape.full_name, f"{label}: {len(shape.copied)} columns are copied")
    for finding in _of_columns(label, shape):
        yield finding
    async with server.connect() as connection:
        for part in (of_ids, of_triggers, _of_keys, _of_writers, _of_storage):
            async for finding in part(connection, label, shape):
                yield finding


def _of_columns(label: str, shape: Shape) -> Iterator[Finding]:
    if not shape.id_column.unique:
        message = f"{label}: {shape.id_column.name} has no unique index: each poll reads the whole table"
        advice = f"CREATE UNIQUE INDEX CONCURRENTLY ON {shape.sql_name} ({identifier(shape.id_column.name)})"
        yield Finding("warning", shape.full_name, message, advice)
    for column in shape.copied:
        if column.sequence:
            message = f"{label}: column {column.name} is copied, and has a sequence: both sides assign the same numbers"
            message += "; it is unique, so a row whose number is taken there is refused" if column.unique else ""
            advice = f"Let one side assign odd numbers and the other even ones: ALTER SEQUENCE {column.sequence.name}"
            yield Finding("warning", shape.full_name, message, f"{advice} INCREMENT 2 RESTART …")


async def _of_keys(connection: AsyncConnection, label: str, shape: Shape) -> AsyncIterator[Finding]:
    for key, target in await checkup.keys_onto_ids(connection, shape.oid):
        message = f"{label}: foreign key {key} refers to ids of {target}, and the same id is a different row there"
        yield Finding("warning", shape.full_name, message, "Reference the uuid instead: each side numbers its own rows")


async def _of_writers(connection: AsyncConnection, label: str, shape: Shape) -> AsyncIterator[Finding]:
    names = await activity.writers(connection, shape.lockable)
    for blocker in await activity.blockers(connection, shape.lockable, names):
        if (blocker.age_seconds or 0.0) > LONG_SECONDS:
            who = f"pid {blocker.pid} of {blocker.user} ({blocker.application})"
            who = f"prepared transaction {blocker.prepared}" if blocker.prepared else who
            message = f"{label}: {who} has been open for {blocker.age_seconds:.0f} s"
            yield Finding("warning", shape.full_name, message, "Its rows arrive when it commits; others do not wait")


async def _of_storage(connection: AsyncConnection, label: str, shape: Shape) -> AsyncIterator[Finding]:
    for relation in await checkup.unlogged(connection, shape.relations):
        message = f"{label}: {relation} is UNLOGGED: a server crash truncates it"
        message += ", and rows that SNK has not copied by then are lost"
        yield Finding("warning", shape.full_name, message, f"ALTER TABLE {relation} SET LOGGED")
