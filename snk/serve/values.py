"""How values are written in JSON, and which ones are taken. PostgreSQL itself does both."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from snk.db.relation import TIMESTAMP, TIMESTAMPTZ, Column, in_json
from snk.serve.table import Dataset

INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
NUMBERS = (*INTEGERS, "numeric", "real", "double precision")
TEXTS = ("text", "character varying", "character", "uuid", "date", "bytea", TIMESTAMP, TIMESTAMPTZ)
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
PLAIN = (*NUMBERS, *TEXTS, "boolean", "jsonb", "time without time zone", "time with time zone", "interval")
"""Types whose values in JSON never hold a line break."""
COMPARABLE = (*NUMBERS, "uuid", "date", "bytea", "boolean", "jsonb", TIMESTAMP, TIMESTAMPTZ)
"""Types whose values are the same exactly if `=` says so; values of all others are compared as texts."""


def as_text(value: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """A value as PostgreSQL writes it."""
    return sa.cast(value, sa.Text)


def record_text(dataset: Dataset, columns: tuple[str, ...]) -> tuple[sa.ColumnElement[str], sa.FromClause]:
    """A record as the text of a JSON object in one line, and what to select it from."""
    record = (
        sa.select(*(in_json(dataset.column(name), dataset.columns[name].base).label(name) for name in columns))
        .correlate(dataset.table)
        .lateral("snk_record")
    )
    text = as_text(sa.func.row_to_json(record.table_valued()))
    if not all(dataset.columns[name].base in PLAIN for name in columns):
        # Only json keeps white space as it came, and inside its texts a line break is escaped.
        text = sa.func.translate(text, "\n\r", "  ")
    return text, dataset.table.join(record, sa.true())


def schema(column: Column) -> dict[str, Any]:
    """What JSON Schema says of the values of a column that are not null."""
    base = column.base
    if base in INTEGERS:
        return {"type": "integer", "minimum": -INTEGERS[base], "maximum": INTEGERS[base] - 1}
    if base in NUMBERS:
        return {"anyOf": [{"type": "number"}, {"type": "string", "enum": list(NOT_FINITE)}]}
    if base == "boolean":
        return {"type": "boolean"}
    if base in ("json", "jsonb") or base.endswith("]"):
        return {"type": "array"} if base.endswith("]") else {}
    return {"type": "string", **_FORMATS.get(base, {"pattern": "^[^\\u0000]*$"})}


_FORMATS: dict[str, dict[str, Any]] = {
    "uuid": {"format": "uuid"},
    "date": {"format": "date"},
    TIMESTAMPTZ: {"format": "date-time"},
    TIMESTAMP: {"description": "a date and time without offset, such as 2026-11-25T00:00:00.123456"},
    "bytea": {"pattern": "^\\\\x([0-9a-f]{2})*$", "description": "hexadecimal digits after \\x"},
}


def nullable(column: Column) -> dict[str, Any]:
    """What JSON Schema says of the values of a column, as they are read."""
    given = schema(column)
    return given if column.not_null or not given else {"anyOf": [given, {"type": "null"}]}


def _is_number(value: Any) -> bool:
    return (isinstance(value, int | Decimal) and not isinstance(value, bool)) or value in NOT_FINITE


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "integer": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "number": (_is_number, "a number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "array": (lambda value: isinstance(value, list), "a list"),
    "string": (lambda value: isinstance(value, str), "a text"),
}


def misfit(column: Column, value: Any) -> str:
    """What a value of JSON would have to be for this column; empty if its kind is right.

    PostgreSQL would take more, such as an object for a text. What it writes for that is hardly what was meant.
    """
    given = schema(column)
    kind = given.get("type", "number" if given else "")
    if value is None or not kind:
        return ""
    fits, words = _KINDS[kind]
    return "" if fits(value) else words
