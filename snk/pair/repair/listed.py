"""What waits for a person, in lists that are short enough for a page: long values are cut by the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db import journal
from snk.db.lender import Door
from snk.pair.repair.conflicts import KIND
from snk.pair.schema.own import Conflict, Rejected
from snk.pair.table.rejects import RejectedRow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is listed at most.

    Attributes:
        rows: of each database.
        columns: of each row.
        chars: of each value.
    """

    rows: int = 20
    columns: int = 60
    chars: int = 200


SHORT = Bounds()
LONG = Bounds(rows=1, columns=1600, chars=20_000)


@dataclass(frozen=True, slots=True)
class About:
    """Which rows are listed: those of all tables, of one, or one of them.

    Attributes:
        table: its name in the settings, or its full name.
    """

    table: str = ""
    uuid: str = ""

    def of(self, kind: type[Conflict | Rejected]) -> list[sa.ColumnElement[bool]]:
        """The conditions."""
        named = [kind.table_name.in_((self.table, f"public.{self.table}"))] if self.table else []
        return [*named, *([kind.uuid == self.uuid] if self.uuid else [])]


@dataclass(frozen=True, slots=True)
class Cut:
    """A value in PostgreSQL's text form, or the beginning of it.

    Attributes:
        text: None for NULL.
        more: how many characters more it has.
    """

    text: str | None
    more: int = 0

    @classmethod
    def of(cls, text: str | None, chars: int) -> "Cut":
        """The beginning of a value."""
        return cls(text) if text is None else cls(text[:chars], max(0, len(text) - chars))


@dataclass(frozen=True, slots=True)
class Cell:
    """A column of two rows."""

    column: str
    first: Cut
    second: Cut
    differs: bool


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A recorded conflict.

    Attributes:
        cells: the columns, those that differ before the others.
        columns: how many there are; not all of them may be listed.
    """

    table: str
    uuid: str
    noticed_at: datetime
    cells: Sequence[Cell]
    columns: int

    @property
    def differing(self) -> list[Cell]:
        """The columns that differ."""
        return [cell for cell in self.cells if cell.differs]

    @property
    def equal(self) -> list[Cell]:
        """The columns that do not."""
        return [cell for cell in self.cells if not cell.differs]

    @property
    def cut(self) -> bool:
        """Whether there is more than what is listed."""
        more = any(cell.first.more or cell.second.more for cell in self.cells)
        return more or len(self.cells) < self.columns


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A list, or the beginning of it.

    Attributes:
        more: how many there are besides, at most: what both databases recorded may be counted twice.
    """

    rows: Sequence[T]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """A replacement that was made, and that can be taken back.

    Attributes:
        on: the side whose row was replaced.
        role: the database role that did it.
    """

    table: str
    uuid: str
    on: str
    applied_at: datetime
    role: str


async def conflicts(first: Door, second: Door, about: About, bounds: Bounds = SHORT) -> Listed[ConflictRow]:
    """The conflicts that were recorded last; one that both databases recorded is listed once."""
    found: dict[tuple[str, str], ConflictRow] = {}
    count = listed = 0
    for door in (first, second):
        async with door.connect() as connection:
            asked = sa.select(sa.func.count()).select_from(Conflict).where(*about.of(Conflict))
            count += (await connection.execute(asked)).scalar_one()
            rows = (await connection.execute(_conflicts(about, bounds))).all()
        listed += len(rows)
        for table, uuid, noticed_at, columns, cells in rows:
            told = tuple(_cell(cell, bounds, turned=door is first) for cell in cells or ())
            found.setdefault((table, uuid), ConflictRow(table, uuid, noticed_at, told, columns))
    newest = sorted(found.values(), key=lambda each: each.noticed_at, reverse=True)[: bounds.rows]
    return Listed(newest, count - listed + len(found) - len(newest))


async def rejected(door: Door, about: About, most: int, chars: int = SHORT.chars * 2) -> Listed[RejectedRow]:
    """The rows that one database has set aside, those that were refused last before the others."""
    columns = [*Rejected.__table__.c]
    asked = [sa.func.left(each, chars).label(each.name) if each.name == "error" else each for each in columns]
    newest = sa.select(*asked).where(*about.of(Rejected)).order_by(Rejected.last_at.desc(), Rejected.uuid).limit(most)
    async with door.connect() as connection:
        count = await _count(connection, about)
        rows = [RejectedRow(**row) for row in (await connection.execute(newest)).mappings()]
    return Listed(rows, count - len(rows))


async def settled(first: Door, second: Door, most: int) -> list[Settled]:
    """The replacements that were made last; of each row the last one."""
    table, on = (journal.JOURNAL.c.actions[0][name].astext for name in ("table", "on"))
    kept = journal.JOURNAL.c
    asked = sa.select(table, kept.subject, on, kept.applied_at, kept.role).where(kept.kind == KIND)
    asked = asked.order_by(kept.applied_at.desc()).limit(most)
    found: list[Settled] = []
    for door in (first, second):
        async with door.connect() as connection:
            if await journal.exists(connection):
                found += [Settled(*row) for row in await connection.execute(asked)]
    newest = {(each.table, each.uuid): each for each in sorted(found, key=lambda each: each.applied_at)}
    return sorted(newest.values(), key=lambda each: each.applied_at, reverse=True)[:most]


async def _count(connection: AsyncConnection, about: About) -> int:
    asked = sa.select(sa.func.count()).select_from(Rejected).where(*about.of(Rejected))
    return int((await connection.execute(asked)).scalar_one())


def _conflicts(about: About, bounds: Bounds) -> sa.Select[Any]:
    """The conflicts of one database, with the first columns of each, those that differ before the others."""
    whole = Conflict.source_row.op("||")(Conflict.destination_row)
    names = sa.func.jsonb_object_keys(whole).table_valued("name").render_derived(name="names")
    name = sa.cast(names.c.name, sa.Text)
    source, destination = (
        sa.func.jsonb_extract_path_text(row, name) for row in (Conflict.source_row, Conflict.destination_row)
    )
    differs = source.is_distinct_from(destination)
    values = [
        each for value in (source, destination) for each in (sa.func.left(value, bounds.chars), sa.func.length(value))
    ]
    cell = sa.func.jsonb_build_array(name, differs, *values)
    some = sa.select(cell.label("cell")).order_by(differs.desc(), name).limit(bounds.columns)
    cells = sa.select(sa.func.jsonb_agg(some.correlate(Conflict).subquery().c.cell)).scalar_subquery()
    count = sa.select(sa.func.count()).select_from(names).correlate(Conflict)
    asked = sa.select(Conflict.table_name, Conflict.uuid, Conflict.noticed_at, count.scalar_subquery(), cells)
    newest = asked.where(*about.of(Conflict)).order_by(Conflict.noticed_at.desc(), Conflict.uuid)
    return newest.limit(bounds.rows)


def _cell(cell: Sequence[Any], bounds: Bounds, *, turned: bool) -> Cell:
    name, differs, *values = cell
    source, destination = (Cut(text, max(0, (chars or 0) - bounds.chars)) for text, chars in (values[:2], values[2:]))
    return Cell(name, destination, source, differs) if turned else Cell(name, source, destination, differs)
