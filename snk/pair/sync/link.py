"""Both ends of one direction of one table, inspected and found fit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from snk.db.access import Dedicated
from snk.db.catalog import ServerFacts
from snk.db.lender import Lender, Lent
from snk.db.server import Server
from snk.errors import Stop, TableUnfit
from snk.pair.catalog.shape import InsertTrigger, Shape, differences, faults, unfitness
from snk.pair.core.budget import CONNECTIONS
from snk.pair.schema.sweeps import Sweeps
from snk.pair.sync.facts import Looked, TableFacts
from snk.pair.table.check import TableCheck
from snk.pair.table.fitness import look_over, one_and_the_same, server_faults, shapes_of
from snk.pair.table.reader import Reader, plan_by_index
from snk.pair.table.statement import mapped
from snk.pair.table.writer import Writer


class _End:
    """One end of a table.

    Attributes:
        access: to the boot of the server in which the table was looked at.
    """

    access: Lent

    @property
    def server(self) -> Server:
        """The server."""
        return self.access.server

    @property
    def facts(self) -> ServerFacts:
        """Facts that are valid for this boot."""
        return self.access.facts


@dataclass(frozen=True)
class Source(_End):
    """Where rows are read.

    Attributes:
        triggers: the triggers that SNK's inserts fire here; the flow in the other direction writes here.
    """

    access: Lent
    reader: Reader
    check: TableCheck
    triggers: tuple[InsertTrigger, ...]


@dataclass(frozen=True)
class Destination(_End):
    """Where rows are written.

    Attributes:
        triggers: the triggers that SNK's inserts fire here.
        parents: full names of the tables that the table refers to.
    """

    access: Lent
    writer: Writer
    check: TableCheck
    sweeps: Sweeps
    triggers: tuple[InsertTrigger, ...]
    parents: frozenset[str]


@dataclass(frozen=True, slots=True)
class Link:
    """A source and a destination."""

    table: str
    source: Source
    destination: Destination


def lender_of(server: Server, most: int) -> Lender:
    """The connections to a server that flows share."""
    return Lender(server, most, plan_by_index)


async def linked(source: TableFacts, destination: TableFacts, table: str) -> Link:
    """Look at both ends of a table.

    Raises:
        Unavailable: a server cannot be reached.
        DatabaseUnfit, TableUnfit: a requirement is not met; the first fault found.
    """
    reading, writing = await Lent.of(source.lender), await Lent.of(destination.lender)
    for access in (reading, writing):
        for unfit in server_faults(access.facts, access.server.address):
            raise unfit
    there, here = await source.looked(reading, table), await destination.looked(writing, table)
    first, second = (there, here) if reading.server.label == "first" else (here, there)
    for looked, access in ((there, reading), (here, writing)):
        for fault in faults(looked.shape, access.server.label):
            raise fault
    for fault in differences(first.shape, second.shape):
        raise fault
    return Link(there.shape.full_name, await _source(reading, there), await _destination(writing, here))


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
    """What is wrong with the tables."""
    async with first.connect() as one, second.connect() as other:
        accesses = Dedicated(first, one), Dedicated(second, other)
        seen = {access.server.label: await shapes_of(access, tables) for access in accesses}
    found: list[Stop] = []
    for table in tables:
        found += unfitness(*((label, shapes[table]) for label, shapes in seen.items()))
    for label, named in seen.items():
        found += twice({name: each for name, each in named.items() if isinstance(each, Shape)}, label)
    return found


async def _source(access: Lent, looked: Looked) -> Source:
    shape = looked.shape
    reader, check = Reader(access, await mapped(shape)), TableCheck(access, shape)
    return Source(access, reader, check, looked.triggers)


async def _destination(access: Lent, looked: Looked) -> Destination:
    shape = looked.shape
    writer = Writer(access, await mapped(shape), watches_triggers=bool(looked.triggers))
    check, sweeps = TableCheck(access, shape), Sweeps(access, shape.full_name)
    return Destination(access, writer, check, sweeps, looked.triggers, looked.parents)
