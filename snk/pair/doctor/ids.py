"""The doctor's findings about ids and the sequence that generates them."""

from collections.abc import AsyncIterator, Iterator

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.finding import Finding
from snk.db.identifiers import identifier, literal
from snk.pair.catalog import checkup
from snk.pair.catalog.shape import Sequence, Shape
from snk.pair.table.synced import SyncedTable

MOST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
MUCH = 0.8


async def of_ids(connection: AsyncConnection, label: str, shape: Shape) -> AsyncIterator[Finding]:
    """Findings about the sequence and, as far as this role has the rights to read it, how far it has advanced."""
    sequence = shape.id_column.sequence
    if sequence is None:
        return
    greatest: int | None = None
    if shape.id_column.indexed:  # without an index, this would read the whole table
        table = SyncedTable.of(shape)
        greatest = (await connection.execute(sa.select(sa.func.max(table.id)))).scalar_one()
    following = await checkup.next_of(connection, sequence)
    for message, advice in (
        *_of_sequence(sequence),
        *_behind(sequence, greatest, following),
        *_used_up(shape, sequence, greatest, following),
    ):
        yield Finding("warning", shape.full_name, f"{label}: {message}", advice)


def _of_sequence(sequence: Sequence) -> Iterator[tuple[str, str]]:
    if sequence.cache > 1:
        message = f"sequence {sequence.name} has CACHE {sequence.cache}"
        message += ", so ids drawn in one transaction may be used in a later one, out of reach of tailing"
        yield message, f"ALTER SEQUENCE {sequence.name} CACHE 1"
    if sequence.cycles:
        message = f"sequence {sequence.name} will CYCLE: after {sequence.most} it gives {sequence.least} again"
        message += ", and rows below the mark are out of reach of tailing"
        yield message, f"ALTER SEQUENCE {sequence.name} NO CYCLE"


def _behind(sequence: Sequence, greatest: int | None, following: int | None) -> Iterator[tuple[str, str]]:
    if greatest is not None and following is not None and following <= greatest:
        message = f"sequence {sequence.name} gives {following} next, and the greatest id is {greatest}"
        message += ": an insert that is given an id which is taken fails, one of SNK's, too"
        yield message, f"SELECT setval({literal(sequence.name)}, {greatest})"


def _used_up(
    shape: Shape, sequence: Sequence, greatest: int | None, following: int | None
) -> Iterator[tuple[str, str]]:
    name, kind = shape.id_column.name, shape.id_column.type_name
    last = max(known for known in (greatest, (following or sequence.least) - 1) if known is not None)
    most = min(MOST[kind], sequence.most)
    used = (last - sequence.least + 1) / (most - sequence.least + 1)
    if used > MUCH:
        message = f"id column {name} is {kind}, and {used:.0%} of its ids are used: {last} of {most}"
        message += ". At the end every insert fails, one of SNK's, too"
        wider = (
            f"ALTER TABLE {shape.sql_name} ALTER COLUMN {identifier(name)} TYPE bigint; " if kind != "bigint" else ""
        )
        yield message, f"{wider}ALTER SEQUENCE {sequence.name} AS bigint NO MAXVALUE"
