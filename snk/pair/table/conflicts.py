"""Rows that were not inserted because their uuids exist: equal rows, or conflicts, which are recorded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.pair.core.portion import Portion
from snk.pair.schema.own import Conflict
from snk.pair.table.reader import Reader
from snk.pair.table.rejects import Refusal
from snk.pair.table.statement import Statement
from snk.pair.table.synced import Rows, SyncedTable, bound
from snk.pair.table.values import as_text

COMPARED_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of comparing rows with the existing rows that have their uuids.

    Attributes:
        conflicts: the uuids whose existing row differs, if the conflict was not known yet; it is recorded now.
        missing: the uuids that no row has.
        unread: why an existing row cannot be read here, by uuid.
    """

    conflicts: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()
    unread: Mapping[str, Refusal] = field(default_factory=dict)


class Conflicts:
    """Compares rows with the existing rows of one table that have their uuids, in the caller's transaction."""

    def __init__(self, reader: Reader, table: SyncedTable) -> None:
        self._reader = reader
        self._key = table.shape.full_name
        self._table = table
        self._as_taken = Statement(table, SyncedTable.as_taken)

    async def get_ready(self) -> None:
        """Prepare the statements of `compare` now, so that no transaction waits for that."""
        await self._as_taken.ready(self._reader.server, self._table.labels)
        await self._reader.get_ready()

    async def compare(self, connection: AsyncConnection, rows: Rows) -> Compared:
        """Record the rows that differ from the existing ones; read at most ``COMPARED_BYTES`` of these at a time."""
        reader = self._reader.inside(connection)
        conflicts: list[str] = []
        missing: set[str] = set()
        unread: dict[str, Refusal] = {}
        portion = Portion.of(len(rows), COMPARED_BYTES)
        while rows:
            there = await reader.named(rows.uuids, portion)
            ours, theirs = _by_uuid(rows[: there.asked]), _by_uuid(there.rows)
            unread |= there.unread
            missing |= ours.keys() - theirs.keys() - unread.keys()
            if different := [uuid for uuid, row in ours.items() if uuid in theirs and row != theirs[uuid]]:
                taken = await self._taken(connection, different, [ours[uuid] for uuid in different])
                conflicts += await self._record(
                    connection, ((uuid, ours[uuid], theirs[uuid]) for uuid in different if taken[uuid] != theirs[uuid])
                )
            rows, portion = rows[there.asked :], there.portion
        return Compared(tuple(conflicts), frozenset(missing), unread)

    async def _taken(
        self, connection: AsyncConnection, uuids: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> dict[str, tuple[Any, ...]]:
        """The rows as this database would return them if it had inserted them, by uuid."""
        values = bound(list(column) for column in zip(*rows, strict=True))
        statement = await self._as_taken.ready(self._reader.server, values)
        try:
            columns = (await statement.over(connection, values)).one()
        except UnicodeDecodeError:  # without an encoding, a value may be cut within a character
            return dict.fromkeys(uuids, ())
        return dict(zip(uuids, zip(*columns, strict=True), strict=True))

    async def _record(
        self, connection: AsyncConnection, found: Iterable[tuple[str, Sequence[Any], Sequence[Any]]]
    ) -> list[str]:
        """Record uuids, each with our row and theirs; return the uuids that were not recorded before."""
        values = [
            {
                "table_name": self._key,
                "uuid": uuid,
                "source_row": self._as_text(ours),
                "destination_row": self._as_text(theirs),
            }
            for uuid, ours, theirs in found
        ]
        if not values:
            return []
        record = insert(Conflict).on_conflict_do_nothing().returning(Conflict.uuid)
        return list((await connection.execute(record, values)).scalars())

    def _as_text(self, row: Sequence[Any]) -> dict[str, str | None]:
        return {name: as_text(value) for name, value in zip(self._table.names, row, strict=True)}


def _by_uuid(rows: Rows) -> dict[str, tuple[Any, ...]]:
    return dict(zip(rows.uuids, zip(*rows.columns, strict=True), strict=True))
