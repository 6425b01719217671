"""Tables that look alike have the same statements, but for names: those are written once, with placeholders for names.

SQLAlchemy needs several milliseconds to build and to compile a statement. A daemon has hundreds of tables, each of them
twice, and the first row of a table has to wait for its statements.

A placeholder begins with a character that no name in PostgreSQL can contain.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from snk.db.identifiers import identifier
from snk.pair.catalog.shape import Column
from snk.pair.table.synced import SyncedTable

_MARK = "\0"
_SCHEMA, _TABLE, _ID = (f"{_MARK}{name}" for name in ("schema", "table", "id"))
_OID = 2**32 - 2  # PostgreSQL never draws it for a table before it has drawn all others
_PLACEHOLDER = re.compile(f'"({_MARK}[^"]*)"')


@dataclass(frozen=True, slots=True)
class Look:
    """What statements depend on, besides names."""

    columns: tuple[Column, ...]
    uuid_at: int
    drops: bool
    partitioned: bool

    @classmethod
    def of(cls, table: SyncedTable) -> "Look":
        """How a table looks."""
        columns = (Column(str(at), c.type_name, c.family, varies=c.varies) for at, c in enumerate(table.columns))
        return cls(tuple(columns), table.uuid_at, table.shape.drops, table.shape.partitioned)


def pattern(table: SyncedTable) -> SyncedTable:
    """A table that looks like this one, with placeholders for names and oids."""
    columns = tuple(replace(column, name=_MARK + column.name) for column in Look.of(table).columns)
    shape = replace(table.shape, schema=_SCHEMA, name=_TABLE, oid=_OID, relations=(_OID,), columns=())
    return SyncedTable(shape, columns, _ID, table.uuid_at)


def named(texts: Sequence[str], table: SyncedTable) -> list[str]:
    """The texts of a statement that was written for the pattern, with the names of a table."""
    names = {_SCHEMA: table.shape.schema, _TABLE: table.shape.name, _ID: table.id_name}
    names |= {f"{_MARK}{at}": column.name for at, column in enumerate(table.columns)}
    quoted = {placeholder: identifier(name) for placeholder, name in names.items()}
    return [_PLACEHOLDER.sub(lambda found: quoted[found[1]], text) for text in texts]


def valued(parameters: Sequence[sa.BindParameter[Any]], table: SyncedTable) -> list[sa.BindParameter[Any]]:
    """The parameters of such a statement, with the names and oids of a table."""
    shape = table.shape
    values: dict[Any, Any] = {_SCHEMA: shape.schema, _TABLE: shape.name, _OID: shape.oid, (_OID,): shape.relations}
    return [_valued(parameter, values) for parameter in parameters]


def _valued(parameter: sa.BindParameter[Any], values: dict[Any, Any]) -> sa.BindParameter[Any]:
    given = tuple(parameter.value) if isinstance(parameter.value, list) else parameter.value
    if not isinstance(given, str | int | tuple) or given not in values:
        return parameter
    value = values[given]
    return sa.bindparam(None, list(value) if isinstance(value, tuple) else value, type_=parameter.type, unique=True)
