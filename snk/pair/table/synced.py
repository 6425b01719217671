"""A synced table as SQLAlchemy maps it, and its rows as they are transferred: column by column.

A batch is one list per column, never an object per row. The server folds rows into arrays when SNK reads them
(``array_agg``, and ``string_agg`` for texts) and unfolds them when SNK writes them (``unnest`` and
``string_to_table``). This is more than twice as fast as transferring rows, in both directions, and the echo filter
needs only the list of uuids.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from snk.db.functions import balanced
from snk.pair.catalog.shape import Column, Shape
from snk.pair.table import texts

# A statement may return 1664 columns; some of them are not columns of the table.
MOST_FOLDED = 1600
# Python needs about 50 bytes per value.
MOST_VALUES = 1_000_000

IDS_ARRAY = ARRAY(sa.BigInteger, dimensions=1)
UUIDS_ARRAY = ARRAY(sa.Uuid(as_uuid=False), dimensions=1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, column by column.

    Attributes:
        ids: their ids at the source; only the tail uses them.
        uuids: their names on both sides; also contained in ``columns``.
        columns: one list per copied column, in the order of `SyncedTable.columns`.
    """

    ids: Sequence[int] = ()
    uuids: Sequence[str] = ()
    columns: tuple[Sequence[Any], ...] = ()

    def __len__(self) -> int:
        return len(self.uuids)

    def __add__(self, other: "Rows") -> "Rows":
        if not other.uuids:
            return self
        if not self.uuids:
            return other
        columns = tuple([*a, *b] for a, b in zip(self.columns, other.columns, strict=True))
        return Rows([*self.ids, *other.ids], [*self.uuids, *other.uuids], columns)

    def where(self, keep: Sequence[bool]) -> "Rows":
        """The rows for which ``keep`` is true."""
        return Rows(
            list(compress(self.ids, keep)),
            list(compress(self.uuids, keep)),
            tuple(list(compress(column, keep)) for column in self.columns),
        )

    def halves(self) -> tuple["Rows", "Rows"]:
        """The first and the second half."""
        middle = len(self) // 2
        return self[:middle], self[middle:]

    def __getitem__(self, part: slice) -> "Rows":
        return Rows(self.ids[part], self.uuids[part], tuple(column[part] for column in self.columns))


class NamedType(sa.types.UserDefinedType[str]):
    """A type known only by its name; its values are written and read as text."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: object) -> str:
        """The name as PostgreSQL writes it, quoted and schema-qualified."""
        return self.name


@dataclass(frozen=True)
class SyncedTable:
    """One side of a synced table: the mapped table, and how each column is transferred.

    Attributes:
        columns: those that are copied.
        id_name: the column to tail by.
        uuid_at: which of the copied columns names a row.
    """

    shape: Shape
    columns: tuple[Column, ...]
    id_name: str
    uuid_at: int

    @classmethod
    def of(cls, shape: Shape) -> "SyncedTable":
        """The table with this shape."""
        columns = shape.copied
        return cls(shape, columns, shape.id_column.name, columns.index(shape.uuid_column))

    @cached_property
    def table(self) -> sa.TableClause:
        """The mapped table: its id and its copied columns."""
        columns = [sa.column(c.name, _written_as(c)) for c in self.columns]
        return sa.table(self.shape.name, sa.column(self.id_name, sa.BigInteger), *columns, schema=self.shape.schema)

    @property
    def id(self) -> sa.ColumnClause[int]:
        """The column to tail by."""
        return self.table.c[self.id_name]

    @property
    def uuid(self) -> sa.ColumnClause[str]:
        """The column that names a row."""
        return self.table.c[self.columns[self.uuid_at].name]

    @property
    def names(self) -> list[str]:
        """The names of the copied columns."""
        return [c.name for c in self.columns]

    @property
    def most_rows(self) -> int:
        """The greatest number of rows to hold in memory at once, however narrow the columns are."""
        return max(1, MOST_VALUES // len(self.columns))

    @property
    def labels(self) -> list[str]:
        """The names of the copied columns in statements: as parameters (`bound`) and as columns of a read."""
        return [f"c{at}" for at in range(len(self.columns))]

    def measurable(self, widest: sa.ColumnElement[int]) -> list[sa.ColumnElement[Any]]:
        """The copied columns as they are read, and the number of bytes omitted from a row, for `measured`.

        A value that must be converted to text is omitted if its stored size exceeds the limit for a row: unpacking
        thousands of large documents only to find that they are large would take minutes.
        """
        columns: list[sa.ColumnElement[Any]] = []
        left_out: list[sa.ColumnElement[int]] = []
        for at, column in enumerate(self.columns):
            value = self._read(column)
            if column.varies and not _read_plainly(column):
                stored = sa.func.pg_column_size(self.table.c[column.name])
                value = sa.case((stored <= widest, value))
                left_out.append(sa.cast(sa.case((stored > widest, stored), else_=0), sa.BigInteger))
            columns.append(value.label(f"c{at}"))
        return [*columns, *([balanced(operator.add, left_out).label("left_out")] if left_out else [])]

    def measured(self, rows: sa.Subquery) -> tuple[sa.Subquery, sa.ColumnElement[int] | None]:
        """The same rows, and the width of each: the bytes of its values without a fixed width, as transferred.

        If several columns count, OFFSET 0 keeps the planner from measuring once per column. PostgreSQL knows the length
        of a text without unpacking it.

        Returns:
            The rows and the width, which is None if all columns have a fixed width.
        """
        sizes: list[sa.ColumnElement[int]] = [
            sa.func.octet_length(rows.c[f"c{at}"]) for at, column in enumerate(self.columns) if column.varies
        ]
        if "left_out" in rows.c:
            sizes.append(rows.c.left_out)
        if len(sizes) < 2:  # noqa: PLR2004 - only two or more need a sum
            return rows, next(iter(sizes), None)
        added = [sa.cast(sa.func.coalesce(size, sa.literal_column("0")), sa.BigInteger) for size in sizes]
        width = balanced(operator.add, added)
        columns = [column for column in rows.c if column.key != "left_out"]
        together = sa.select(*columns, width.label("width")).offset(sa.literal_column("0")).subquery()
        return together, together.c.width

    def folded(
        self, rows: sa.Subquery, wide: sa.ColumnElement[bool] | None = None, *, joined: bool = False
    ) -> list[sa.ColumnElement[Any]]:
        """One value per copied column of a subquery, which selects them by label; input of `rows` and `parted`.

        The aggregates take the rows in the order in which the subquery returns them.

        Args:
            rows: the subquery.
            wide: for rows for which this is true, only values with a fixed width are returned.
            joined: return each text column as one text and, after all columns, the number of its values that are not
                NULL. Texts form arrays anyway if there would be more columns than a statement may return.
        """
        joined = joined and len(self.columns) + sum(map(_written_as_text, self.columns)) <= MOST_FOLDED
        folded: list[sa.ColumnElement[Any]] = []
        counts: list[sa.ColumnElement[int]] = []
        for at, column in enumerate(self.columns):
            value: sa.ColumnElement[Any] = rows.c[f"c{at}"]
            if wide is not None and column.varies:
                value = sa.case((wide, sa.null()), else_=value)
            item = _written_as(column) if _read_plainly(column) else sa.Text()
            if joined and isinstance(item, sa.Text):
                counts.append(sa.func.count(value))
                value = sa.func.coalesce(value, _character(texts.NOTHING))
                folded.append(sa.func.string_agg(value, _character(texts.SEPARATOR), type_=sa.Text()))
            else:
                folded.append(sa.func.array_agg(value, type_=_array(item)))
        return [*folded, *counts]

    def _read(self, column: Column) -> sa.ColumnElement[Any]:
        read = self.table.c[column.name]
        return read if _read_plainly(column) else sa.cast(read, sa.Text)

    def unfolded(
        self, once_for: sa.FromClause | None = None, *, joined: bool = False, fitted: bool = False
    ) -> tuple[sa.Subquery, list[sa.ColumnElement[Any]]]:
        """The values bound as ``c0``, ``c1``, ... as a relation, and its columns in the types of this table.

        Several set-returning functions in a select list advance in step, and the server stores no copy of their
        results, as it does for functions in FROM. An insert leaves type modifiers to the assignment, which refuses a
        value that is too long, whereas a cast would truncate it: a text of three characters in UTF8 may have six in a
        database without an encoding.

        Args:
            once_for: unfold the values once for each row of this relation; not at all if it is empty.
            joined: the texts are bound as `joined` returns them, not as arrays.
            fitted: cast to the types with their modifiers.
        """
        unfolded = sa.select(
            *(_items(column, f"c{at}", joined=joined).label(f"c{at}") for at, column in enumerate(self.columns))
        )
        rows = (unfolded if once_for is None else unfolded.select_from(once_for)).subquery("rows")
        values: list[sa.ColumnElement[Any]] = [
            unfolded if column.plain else sa.cast(unfolded, NamedType(column.type_name if fitted else column.family))
            for unfolded, column in zip(rows.c, self.columns, strict=True)
        ]
        return rows, values

    def as_taken(self) -> sa.Select[Any]:
        """The values bound as ``c0``, ``c1``, ... as this database writes them: one value per column, as in `folded`.

        Two databases may write one value differently: if their versions differ, or if they sort by bytes that depend on
        the encoding, such as the keys of a jsonb.
        """
        rows, values = self.unfolded(fitted=True)
        written = (
            (value if _read_plainly(column) else sa.cast(value, sa.Text)).label(f"c{at}")
            for at, (value, column) in enumerate(zip(values, self.columns, strict=True))
        )
        return sa.select(*self.folded(sa.select(*written).select_from(rows).subquery()))

    def joined(self, columns: Iterable[Sequence[Any]]) -> dict[str, Any] | None:
        """The column lists of two or more rows as parameters, with the values of each text column as one text.

        Returns:
            None if a column cannot be joined.
        """
        values: dict[str, Any] = {}
        for at, (items, column) in enumerate(zip(columns, self.columns, strict=True)):
            value = texts.joined(items) if _written_as_text(column) else items
            if value is None:
                return None
            values[f"c{at}"] = value
        return values

    def name_of(self, rows: sa.Subquery) -> sa.ColumnElement[str]:
        """The uuid column of unfolded rows."""
        return rows.c[self.uuid_at]

    def rows(self, ids: Sequence[int], columns: Sequence[Sequence[Any]]) -> Rows:
        """The result of a folded read, as rows."""
        return Rows(ids, columns[self.uuid_at], tuple(columns))

    def parted(self, ids: Sequence[int], folded: Sequence[Any]) -> Rows | None:
        """Like `rows`, for a result whose texts may be joined; None if they cannot be split."""
        columns, counts = list(folded[: len(self.columns)]), iter(folded[len(self.columns) :])
        for at, column in enumerate(columns):
            if isinstance(column, str):
                columns[at] = texts.parted(column, len(ids), len(ids) - next(counts))
        return None if None in columns else self.rows(ids, columns)


def _read_plainly(column: Column) -> bool:
    return column.plain not in (None, sa.Uuid)


def _written_as(column: Column) -> sa.types.TypeEngine[Any]:
    """The type of the values for the driver when they are written; a uuid is a str."""
    if column.plain is sa.Uuid:
        return sa.Uuid(as_uuid=False)
    return (column.plain or sa.Text)()


def _written_as_text(column: Column) -> bool:
    return isinstance(_written_as(column), sa.Text)


def _items(column: Column, name: str, *, joined: bool) -> sa.ColumnElement[Any]:
    """The values of one column, one per row."""
    item = _written_as(column)
    if joined and _written_as_text(column):
        text = sa.bindparam(name, type_=sa.Text)
        return sa.func.string_to_table(text, _character(texts.SEPARATOR), _character(texts.NOTHING), type_=item)
    return sa.func.unnest(sa.bindparam(name, type_=_array(item)), type_=item)


def _character(character: str) -> sa.ColumnElement[str]:
    return sa.literal_column(f"chr({ord(character)})", sa.Text)


def _array(item: sa.types.TypeEngine[Any]) -> ARRAY[Any]:
    return ARRAY(item, dimensions=1)


def bound(columns: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Column lists as the parameters that `SyncedTable.unfolded` expects."""
    return {f"c{at}": column for at, column in enumerate(columns)}
