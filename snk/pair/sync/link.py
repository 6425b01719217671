"""Both ends of one direction of one table, inspected and found fit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from snk.db.access import Dedicated
from snk.db.catalog import ServerFacts
from snk.db.lender import Lender, Lent
from snk.db.server import Server
from snk.errors import Stop, TableUnfit
from snk.pair.catalog import lookup
from snk.pair.catalog.shape import InsertTrigger, Shape, differences, faults
from snk.pair.core.budget import CONNECTIONS
from snk.pair.schema.sweeps import Sweeps
from snk.pair.table.check import TableCheck
from snk.pair.table.fitness import look_over, one_and_the_same, server_faults, shape_of
from snk.pair.table.reader import Reader, plan_by_index
from snk.pair.table.statement import mapped
from snk.pair.table.writer import Writer


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows are read, and facts that are valid for the boot that is read.

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
    """Where rows are written, and facts that are valid for the boot that is written.

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


def lender_of(server: Server, most: int) -> Lender:
    """The connections to a server that flows share."""
    return Lender(server, most, plan_by_index)


async def linked(source: Lender, destination: Lender, table: str) -> Link:
    """Look at both ends of a table.

    Raises:
        Unavailable: a server cannot be reached.
        DatabaseUnfit, TableUnfit: a requirement is not met; the first fault found.
    """
    reading, writing = await Lent.of(source), await Lent.of(destination)
    there, here = await _looked_at(reading, table), await _looked_at(writing, table)
    first, second = (there, here) if source.server.label == "first" else (here, there)
    for fault in (*faults(there, source.server.label), *faults(here, destination.server.label)):
        raise fault
    for fault in differences(first, second):
        raise fault
    return Link(there.full_name, await _source(reading, there), await _destination(writing, here))


async def check_pair(
    first: Server, second: Server, tables: tuple[str, ...], connections: int = CONNECTIONS
) -> list[Stop]:
    """Return everything that keeps these two databases and these tables from being synced.

    Args:
        first: database A.
        second: database B.
        tables: their names in the settings.
        connections: how many are opened to each of the two.

    Raises:
        Unavailable: a server cannot be reached, so the answer is unknown.
        DatabaseUnfit: a server cannot be queried: it rejects the login, or a pooler is in front of it.
    """
    found: list[Stop] = []
    for server in (first, second):
        _, unfit = await look_over(server, connections)
        found += unfit
    if fault := await one_and_the_same(first, second):
        found.append(fault)
    found += await _faults_of(first, second, tables)
    return list({str(fault): fault for fault in found}.values())


def twice(shapes: Mapping[str, Shape], side: str) -> Iterator[TableUnfit]:
    """Yield a fault for every two names in the settings that refer to the same table."""
    named: dict[int, str] = {}
    for name, shape in shapes.items():
        other = named.setdefault(shape.oid, name)
        if other != name:
            message = f"{side}: {other} and {name} are one table, {shape.full_name}"
            yield TableUnfit(message, hint="List it once in SNK_TABLES")


async def _faults_of(first: Server, second: Server, tables: tuple[str, ...]) -> list[Stop]:
    """What is wrong with the tables, over one connection to each server."""
    found: list[Stop] = []
    seen: dict[str, dict[str, Shape]] = {first.label: {}, second.label: {}}
    async with first.connect() as one, second.connect() as other:
        accesses = (Dedicated(first, one), Dedicated(second, other))
        for table in tables:
            unfit = [fault for access in accesses for fault in await _seen(access, table, seen[access.server.label])]
            shapes = [seen[server.label].get(table) for server in (first, second)]
            found += unfit or differences(*filter(None, shapes))
    for label, named in seen.items():
        found += twice(named, label)
    return found


async def _seen(access: Dedicated, table: str, seen: dict[str, Shape]) -> list[Stop]:
    """What is wrong with a table on one side; its shape is added to those that were seen."""
    label = access.server.label
    try:
        seen[table] = await shape_of(access, table)
    except Stop as error:
        return [error]
    return list(faults(seen[table], label))


async def _looked_at(access: Lent, table: str) -> Shape:
    for fault in server_faults(access.facts, access.server.address):
        raise fault
    return await shape_of(access, table)


async def _source(access: Lent, shape: Shape) -> Source:
    triggers = await _triggers(access, shape)
    return Source(access.server, access.facts, Reader(access, await mapped(shape)), TableCheck(access, shape), triggers)


async def _destination(access: Lent, shape: Shape) -> Destination:
    triggers = await _triggers(access, shape)
    writer = Writer(access, await mapped(shape), watches_triggers=bool(triggers))
    check, sweeps = TableCheck(access, shape), Sweeps(access, shape.full_name)
    return Destination(access.server, access.facts, writer, check, sweeps, triggers)


async def _triggers(access: Lent, shape: Shape) -> tuple[InsertTrigger, ...]:
    async with access.using() as connection:
        return tuple(await lookup.insert_triggers(connection, shape.relations))
