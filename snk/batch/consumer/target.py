"""The table that records are merged into, and the SQL of a record's values as its columns have them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.tables import TABLES
from snk.batch.options import Options, Rule
from snk.core.names import split_name
from snk.db.errors import plain, sqlstate
from snk.db.relation import NOT_A_TYPE, Column, Typed, columns_of, indexes_of, schema_of, types_of

DOCUMENTS = ("json", "jsonb")


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A table.

    Attributes:
        table: as SQLAlchemy knows it: with the columns that are loaded only.
        columns: these, by name.
        key: the columns by which records are merged.
        rules: which values are valid, by column.
        compared: the types by which rules compare values, by column: without modifiers, so that no value is cut,
            rounded or refused for being compared.
    """

    table: sa.TableClause
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    rules: Mapping[str, Rule]
    compared: Mapping[str, str]

    def text(self, record: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[str]:
        """What a record, as JSONB, has for a column, as a text that the type reads; null if it is null or missing."""
        if self.columns[name].base in DOCUMENTS:
            value = sa.cast(record, pg.JSONB)[name]
            return sa.cast(sa.func.nullif(value, sa.cast(sa.literal("null", sa.Text), pg.JSONB)), sa.Text)
        return sa.func.jsonb_extract_path_text(record, sa.literal(name, sa.Text), type_=sa.Text)

    def value(self, record: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[Any]:
        """The same as a value of the column's type."""
        return sa.cast(self.text(record, name), Typed(self.columns[name].type))

    def required(self, name: str) -> bool:
        """Whether a column may not be null."""
        return name in self.key or self.rules[name].required or self.columns[name].not_null


async def look_up(connection: AsyncConnection, options: Options) -> Target:
    """The target.

    Raises:
        FileFailed: there is no such table, column or key, or records cannot be loaded into it.
    """
    there = await columns_of(connection, options.target)
    if await schema_of(connection, options.target) == TABLES.name:
        hint = "Name a table of your own"
        raise FileFailed(f"options.target is {options.target!r}, one of the consumer's own tables", hint=hint)
    if not there:
        raise FileFailed(f"options.target is {options.target!r}, and the consumer's database has no such table")
    for name in options.columns:
        if name not in there:
            hint = f"It has {', '.join(there)}"
            raise FileFailed(f"options.columns has {name!r}, and {options.target} has no such column", hint=hint)
        if there[name].type.endswith("[]") or there[name].generated:
            what = "is computed" if there[name].generated else f"is {there[name].type}"
            raise FileFailed(f"options.columns has {name!r}, which {what}: such columns cannot be loaded")
    await _check_key(connection, options)
    *schema, table = split_name(options.target)
    columns = {name: there[name] for name in options.columns}
    compared = await _compared(connection, columns, options.columns)
    typed = (sa.column(name, Typed(each.type)) for name, each in columns.items())
    made = sa.table(table, *typed, schema=schema[0] if schema else None)
    return Target(made, columns, options.key, options.columns, compared)


async def _check_key(connection: AsyncConnection, options: Options) -> None:
    of_key = [each for each in await indexes_of(connection, options.target) if set(each.columns) == set(options.key)]
    unique = [each for each in of_key if each.unique]
    hint = f"Add a primary key or a unique index of {', '.join(options.key)}"
    if not unique:
        raise FileFailed(f"{options.target} has no unique index of exactly the columns of options.key", hint=hint)
    if not any(each.immediate for each in unique):
        words = f"{options.target} has a constraint of the columns of options.key that is DEFERRABLE"
        raise FileFailed(f"{words}: by such a one nothing can be merged", hint=f"{hint} that is not")


async def _compared(
    connection: AsyncConnection, columns: Mapping[str, Column], rules: Mapping[str, Rule]
) -> dict[str, str]:
    """The types by which rules compare values, by column."""
    written = {name: rules[name].type or each.base for name, each in columns.items()}
    try:
        found = await types_of(connection, dict.fromkeys(written.values()))
    except DBAPIError as error:
        if error.connection_invalidated or sqlstate(error) not in NOT_A_TYPE:
            raise
        given = ", ".join(repr(rule.type) for rule in rules.values() if rule.type)
        raise FileFailed(f"options.columns has types that cannot be read, {given}: {plain(error)}") from error
    for name, text in written.items():
        if text not in found:
            hint = "Write one such as numeric, or leave it out for that of the column"
            raise FileFailed(f"options.columns.{name}.type is {text!r}, which is no type of values", hint=hint)
    return {name: found[text] for name, text in written.items()}
