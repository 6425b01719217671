"""Both ends of one direction of one table, inspected and found fit."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import catalog
from snk.db.catalog import ServerFacts
from snk.db.server import Server
from snk.errors import Stop, TableUnfit
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import InsertTrigger, Shape, differences, faults
from snk.pair.schema.sweeps import Sweeps
from snk.pair.table.check import TableCheck
from snk.pair.table.fitness import look_at, look_over, one_and_the_same
from snk.pair.table.reader import Reader, plan_by_index
from snk.pair.table.statement import mapped
from snk.pair.table.writer import Writer


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows are read: a connection, and facts that are valid for as long as it lives.

    Attributes:
        triggers: the triggers that SNK's inserts fire here; the flow in the other direction writes here.
    """

    server: Server
    facts: ServerFacts
    reader: Reader
    check: TableCheck
    triggers: tuple[InsertTrigger, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where rows are written: a connection, and facts that are valid for as long as it lives.

    Attributes:
        triggers: the triggers that SNK's inserts fire here.
    """

    server: Server
    facts: ServerFacts
    writer: Writer
    check: TableCheck
    sweeps: Sweeps
    triggers: tuple[InsertTrigger, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A source and a destination."""

    table: str
    source: Source
    destination: Destination


@asynccontextmanager
async def linked(source: Server, destination: Server, table: str) -> AsyncIterator[Link]:
    """Connect to both ends of a table.

    Raises:
        Unavailable: a server cannot be reached.
        DatabaseUnfit, TableUnfit: a requirement is not met; the first fault found.
    """
    shapes = {server.label: await look_at(server, table) for server in (source, destination)}
    found = [fault for label, (_, shape) in shapes.items() for fault in faults(shape, label)]
    found = found or list(differences(shapes["first"][1], shapes["second"][1]))
    if found:
        raise found[0]
    async with source.connect() as reading, destination.connect() as writing:
        shape = shapes[source.label][1]
        yield Link(
            shape.full_name,
            await _source(source, reading, shape),
            await _destination(destination, writing, shapes[destination.label][1]),
        )


async def check_pair(first: Server, second: Server, tables: tuple[str, ...]) -> list[Stop]:
    """Return everything that keeps these two databases and these tables from being synced.

    Raises:
        Unavailable: a server cannot be reached, so the answer is unknown.
        DatabaseUnfit: a server cannot be queried: it rejects the login, or a pooler is in front of it.
    """
    found: list[Stop] = []
    for server in (first, second):
        _, unfit = await look_over(server)
        found += unfit
    if fault := await one_and_the_same(first, second):
        found.append(fault)
    seen: dict[str, dict[str, Shape]] = {first.label: {}, second.label: {}}
    for table in tables:
        found += await _faults_of(first, second, table, seen)
    for label, shapes in seen.items():
        found += twice(shapes, label)
    return list({str(fault): fault for fault in found}.values())  # a fault of a server is found once per table


def twice(shapes: Mapping[str, Shape], side: str) -> Iterator[TableUnfit]:
    """Yield a fault for every two names in the settings that refer to the same table."""
    named: dict[int, str] = {}
    for name, shape in shapes.items():
        other = named.setdefault(shape.oid, name)
        if other != name:
            message = f"{side}: {other} and {name} are one table, {shape.full_name}"
            yield TableUnfit(message, hint="List it once in SNK_TABLES")


async def _faults_of(first: Server, second: Server, table: str, seen: Mapping[str, dict[str, Shape]]) -> list[Stop]:
    found: list[Stop] = []
    shapes: list[Shape] = []
    for server in (first, second):
        try:
            shape = (await look_at(server, table))[1]
        except Stop as error:
            found.append(error)
        else:
            shapes.append(shape)
            seen[server.label][table] = shape
            found += faults(shape, server.label)
    return found or list(differences(*shapes))


async def _source(server: Server, connection: AsyncConnection, shape: Shape) -> Source:
    facts, triggers = await _learnt(server, connection, shape)
    reader = Reader(server, connection, await mapped(shape))
    return Source(server, facts, reader, TableCheck(server, connection, shape), triggers)


async def _destination(server: Server, connection: AsyncConnection, shape: Shape) -> Destination:
    facts, triggers = await _learnt(server, connection, shape)
    writer = Writer(server, connection, await mapped(shape), watches_triggers=bool(triggers))
    check, sweeps = TableCheck(server, connection, shape), Sweeps(server, connection, shape.full_name)
    return Destination(server, facts, writer, check, sweeps, triggers)


async def _learnt(
    server: Server, connection: AsyncConnection, shape: Shape
) -> tuple[ServerFacts, tuple[InsertTrigger, ...]]:
    async with server.answering(connection):
        await plan_by_index(connection)
        facts = await catalog.server_facts(connection)
        return facts, tuple(await lookup.insert_triggers(connection, shape.relations))
