"""The shape of a table on one side, and whether two sides can form one synced table.

Values with a plain wire type (integers, text, bytes, booleans) are transferred unchanged. All others are transferred in
PostgreSQL's own text form, which `snk.db.session.FORM` pins: infinite dates, months in intervals, NaN, ranges, enums
and arrays of any shape arrive unchanged, and no type needs special code. A uuid is read as text, because in Python a
str costs a third of a UUID object, and written as a uuid.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from snk.core.names import written
from snk.db.identifiers import identifier, literal
from snk.errors import TableUnfit

PLAIN: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "smallint": sa.SmallInteger,
    "integer": sa.Integer,
    "bigint": sa.BigInteger,
    "boolean": sa.Boolean,
    "text": sa.Text,
    "character varying": sa.Text,
    "bytea": sa.LargeBinary,
    "uuid": sa.Uuid,
}
IDS = ("smallint", "integer", "bigint")


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence behind an id column.

    Attributes:
        cache: how many ids a session draws at once; above 1, a session keeps ids across transactions.
        least: the least id it can return.
        most: the greatest id it can return.
        cycles: whether it restarts at the least id after the greatest one, instead of failing.
        usable: whether SNK's role may draw from it; always true for identity columns.
    """

    oid: int
    name: str
    increment: int
    cache: int
    least: int
    most: int
    cycles: bool
    usable: bool


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        type_name: schema-qualified and with its modifiers: ``numeric(10,2)``.
        family: the same without modifiers, for casts that truncate nothing.
        expression: the expression of a generated column, stored or virtual; an empty string for a plain column.
        default: the database supplies a value if an INSERT specifies none: a default or an identity.
        always: PostgreSQL does not accept other values for this identity: GENERATED ALWAYS AS IDENTITY.
        varies: its values have no fixed width, so one of them may be large.
        unique: a unique, immediate index covers this column alone.
        indexed: it is the first column of a B-tree index on the whole table, so rows can be read in its order.
    """

    name: str
    type_name: str
    family: str = ""
    not_null: bool = False
    expression: str = ""
    default: bool = False
    always: bool = False
    varies: bool = True
    unique: bool = False
    indexed: bool = False
    sequence: Sequence | None = None

    @property
    def plain(self) -> type[sa.types.TypeEngine[Any]] | None:
        """The type in which values are written unchanged, or None if they are written as text."""
        return None if self.type_name.endswith("]") else PLAIN.get(self.type_name.partition("(")[0])

    @property
    def generated(self) -> bool:
        """Whether the database computes it from other columns, so it cannot be written."""
        return bool(self.expression)

    @property
    def counts(self) -> bool:
        """Whether it can be the id: an integer that the database generates from a sequence."""
        return self.type_name in IDS and self.sequence is not None and not self.generated

    @property
    def names_rows(self) -> bool:
        """Whether it could be the uuid that identifies a row on both sides; a generated one cannot be written."""
        return self.type_name == "uuid" and self.not_null and self.unique


@dataclass(frozen=True, slots=True)
class Shape:
    """A table on one side, as described in its catalog.

    Attributes:
        kind: PostgreSQL's ``relkind``: ``r`` for a table, ``p`` for a partitioned one.
        relations: the oids of the table and of all its partitions and children.
        row_fingerprint: changes when a column is added, when another table takes the name, and with row-level security.
        definition_fingerprint: changes with everything that may make the table unfit: columns, types, indexes,
            partitions, triggers, its storage, what ``drops`` rows.
        storage_fingerprint: the files of the table and of all its partitions and children, by their names, as JSON. It
            changes when the table is emptied, rewritten or recreated (`snk.pair.schema.sweeps`).
        rules: rules because of which PostgreSQL refuses an INSERT with a mark, or with ON CONFLICT, into this table.
        drops: an INSERT may succeed without inserting a row, because of a trigger or a rule.
        hidden: row-level security hides rows from SNK's role.
    """

    schema: str
    name: str
    oid: int
    kind: str
    columns: tuple[Column, ...]
    relations: tuple[int, ...]
    row_fingerprint: str
    definition_fingerprint: str
    storage_fingerprint: str
    rules: tuple[str, ...]
    drops: bool
    may_select: bool
    may_insert: bool
    hidden: bool

    @property
    def partitioned(self) -> bool:
        """Whether rows go to partitions, which may have changed since the last look."""
        return self.kind == "p"

    @property
    def full_name(self) -> str:
        """Schema and table in the form used in the settings; unique for each table."""
        return written((self.schema, self.name))

    @property
    def sql_name(self) -> str:
        """Schema and table, quoted as SQL requires."""
        return identifier(self.schema, self.name)

    @property
    def lockable(self) -> tuple[int, ...]:
        """The oids that a transaction locks when it adds rows: the relations, and the sequence of the id."""
        sequence = self.id_column.sequence
        return (*self.relations, *((sequence.oid,) if sequence else ()))

    @property
    def copied(self) -> tuple[Column, ...]:
        """The columns that SNK copies: all except the id and the generated ones, sorted by name."""
        own = self.id_column.name
        kept = (c for c in self.columns if c.name != own and not c.generated)
        return tuple(sorted(kept, key=lambda c: c.name))

    @property
    def id_column(self) -> Column:
        """The column to tail by: the one named ``id``, otherwise the only one that is generated from a sequence."""
        return _only("id", [c for c in self.columns if c.counts], self.full_name)

    @property
    def floor(self) -> int:
        """A number below every id that the sequence can return."""
        sequence = self.id_column.sequence
        return max(-(2**63), min(0, sequence.least - 1)) if sequence else 0

    @property
    def uuid_column(self) -> Column:
        """The column that identifies a row: the one named ``uuid``, otherwise the only unique, NOT NULL uuid column.

        It is a generated column only if there is no other; such a table cannot be synced.
        """
        candidates = [c for c in self.columns if c.names_rows]
        return _only("uuid", [c for c in candidates if not c.generated] or candidates, self.full_name)


@dataclass(frozen=True, slots=True)
class InsertTrigger:
    """A user's trigger that SNK's inserts fire.

    Attributes:
        table: schema and table that it belongs to: the synced table, or one of its partitions.
        function: schema and function that it calls.
        level: ``row``: fires once per row; ``statement``: fires once per INSERT.
        condition: its WHEN clause as PostgreSQL prints it, such as ``(CURRENT_USER <> 'snk'::name)``; may be empty.
    """

    table: str
    name: str
    function: str
    timing: Literal["before", "after"]
    level: Literal["row", "statement"]
    condition: str

    @property
    def full_name(self) -> str:
        """Such as ``audit of public.orders``: trigger names are unique within one table only."""
        return f"{self.name} of {self.table}"


def _only(role: str, candidates: list[Column], table: str) -> Column:
    named = [c for c in candidates if c.name == role]
    if named:
        return named[0]
    if len(candidates) == 1:
        return candidates[0]
    wanted = {
        "id": "an integer identity or serial column",
        "uuid": "a uuid column that is NOT NULL and has a unique, immediate index of its own",
    }[role]
    if not candidates:
        raise TableUnfit(f"{table} has no column that could be its {role}", hint=f"Add {wanted}")
    names = ", ".join(c.name for c in candidates)
    raise TableUnfit(f"{table} has several columns that could be its {role}: {names}", hint=f"Call one of them {role}")


def faults(shape: Shape, side: str) -> Iterator[TableUnfit]:
    """Every reason why this table on this side cannot be synced."""
    where = f"{side}: table {shape.full_name}"
    if shape.kind not in ("r", "p"):
        yield TableUnfit(f"{where} is not a table", hint="Views and foreign tables cannot be synced")
        return
    if shape.kind == "r" and len(shape.relations) > 1:
        yield TableUnfit(
            f"{where} has child tables, and no unique key covers them",
            hint="List the children in SNK_TABLES, or convert it to a partitioned table",
        )
    for right, granted in (("SELECT", shape.may_select), ("INSERT", shape.may_insert)):
        if not granted:
            yield TableUnfit(
                f"{where} lacks the right to {right}", hint=f"GRANT {right} ON {shape.sql_name} to this role"
            )
    if shape.rules:
        yield TableUnfit(
            f"{where} has rules for INSERT or UPDATE, and PostgreSQL refuses SNK's inserts: {', '.join(shape.rules)}",
            hint=f"DROP RULE … ON {shape.sql_name}; a trigger can do the same",
        )
    if shape.hidden:
        yield TableUnfit(
            f"{where} hides rows by row-level security",
            hint="Grant BYPASSRLS to this role: SNK must see every row",
        )
    try:
        yield from _faults_of_columns(shape, where)
    except TableUnfit as error:
        yield TableUnfit(f"{side}: {error.args[0]}", hint=error.hint)


def _faults_of_columns(shape: Shape, where: str) -> Iterator[TableUnfit]:
    id_column, uuid_column = shape.id_column, shape.uuid_column
    alter = f"ALTER TABLE {shape.sql_name} ALTER COLUMN"
    if uuid_column.generated:
        yield TableUnfit(
            f"{where}: column {uuid_column.name} is generated, so it cannot be its uuid: SNK could not write it",
            hint="Add a `uuid` column that is NOT NULL and unique, and not generated",
        )
    for column in shape.copied:
        if column.always:
            yield TableUnfit(
                f"{where}: column {column.name} is GENERATED ALWAYS AS IDENTITY, and is not the id: PostgreSQL refuses"
                " the values that SNK copies",
                hint=f"{alter} {identifier(column.name)} SET GENERATED BY DEFAULT",
            )
    sequence = id_column.sequence
    if sequence and not id_column.default:
        yield TableUnfit(
            f"{where}: id column {id_column.name} has no default, so rows that SNK inserts would get no id",
            hint=f"{alter} {identifier(id_column.name)} SET DEFAULT nextval({literal(sequence.name)})",
        )
    if not id_column.not_null:
        yield TableUnfit(f"{where}: id column {id_column.name} may be NULL", hint="Make it NOT NULL")
    if sequence and sequence.increment < 0:
        yield TableUnfit(f"{where}: sequence {sequence.name} counts down", hint="Use a positive increment")
    if sequence and not sequence.usable:
        yield TableUnfit(f"{where}: no right to draw ids", hint=f"GRANT USAGE ON SEQUENCE {sequence.name} to this role")


def unfitness(first: "tuple[str, Shape | TableUnfit]", second: "tuple[str, Shape | TableUnfit]") -> list[TableUnfit]:
    """Everything because of which a table cannot be synced; how the sides differ only if each is fit by itself.

    Args:
        first: the label of database A, and the table there, or why there is none.
        second: the same of database B.
    """
    found = [fault for label, each in (first, second) for fault in _of_one(each, label)]
    shapes = [each for _, each in (first, second) if isinstance(each, Shape)]
    return found or list(differences(*shapes))


def _of_one(found: "Shape | TableUnfit", label: str) -> Iterable[TableUnfit]:
    return [found] if isinstance(found, TableUnfit) else faults(found, label)


def differences(first: Shape, second: Shape) -> Iterator[TableUnfit]:
    """Every difference between the two sides of one table that prevents syncing."""
    name = first.full_name
    if first.uuid_column.name != second.uuid_column.name:
        yield TableUnfit(
            f"{name}: the uuid is {first.uuid_column.name} in first and {second.uuid_column.name} in second",
            hint="Use the same column on both sides",
        )
    ours, theirs = _by_name(first.copied), _by_name(second.copied)
    for column in sorted(ours.keys() ^ theirs.keys()):
        sides = ("first", "second", second) if column in ours else ("second", "first", first)
        yield _copied_only_in(column, *sides)
    for column in sorted(ours.keys() & theirs.keys()):
        a, b = ours[column].type_name, theirs[column].type_name
        if a != b:
            yield TableUnfit(
                f"{name}: column {column} is {a} in first and {b} in second", hint="Give both the same type"
            )


def _copied_only_in(column: str, here: str, there: str, other: Shape) -> TableUnfit:
    """The error for a column that could be copied from ``here``, but not to the ``other`` side of the table."""
    name = f"{other.full_name}: column {column}"
    found = _by_name(other.columns).get(column)
    if found is None:
        return TableUnfit(f"{name} is in {here} but not in {there}", hint=f"Add it in {there}")
    if found.generated:
        hint = "Generate it on both sides, or on neither"
        return TableUnfit(f"{name} is generated in {there} and plain in {here}", hint=hint)
    hint = "Name the same column `id` on both sides"
    return TableUnfit(f"{name} is the id in {there} and another column is the id in {here}", hint=hint)


def _by_name(columns: Iterable[Column]) -> dict[str, Column]:
    return {column.name: column for column in columns}
