"""Digests of rows that the database computes itself: the same as those of `snk.core.canonical`, and much faster.

PostgreSQL writes the canonical form of the usual types: numbers without zeros at their end, times in UTC without zeros
at the end of their fractions. It cannot do so for everything that a record may hold, such as documents, and texts that
look like times. Whether there was any such value is part of the result, and then the digest is to be computed
otherwise.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from snk.core.canonical import DIGEST_BYTES, Digest
from snk.db.relation import TIMESTAMP, TIMESTAMPTZ, in_json

WHOLE = ("smallint", "integer", "bigint")
FRACTIONS = ("numeric", "real", "double precision")
TEXTS = ("text", "character varying", "uuid", "date", "bytea", TIMESTAMP)
_HALF = DIGEST_BYTES // 2
_LIKE_A_TIME = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d(:?\d\d)?)$"
_SECONDS = 'YYYY-MM-DD"T"HH24:MI:SS.US'
_LEAST, _MOST = "0.000001", "1e40"
"""Smaller and larger numbers have an exponent in the canonical form."""
MOST_ARGUMENTS = 100
"""Of a function of PostgreSQL."""


class Row(NamedTuple):
    """What a value is made of.

    Attributes:
        form: its canonical form, as a text.
        other: whether it is a value whose form is another one.
    """

    form: sa.ColumnElement[str]
    other: sa.ColumnElement[bool]


def summing(
    columns: Mapping[str, tuple[sa.ColumnElement[Any], str]], source: sa.FromClause, *conditions: sa.ColumnElement[bool]
) -> sa.Select[Any] | None:
    """What to ask for the digest of rows, for `summed`; None if the database cannot write one of the types.

    Args:
        columns: each with its type, by the name that it has in a record; see `snk.db.relation.Column.base`.
        source: where the rows are.
        conditions: which ones are wanted.
    """
    parts: list[sa.ColumnElement[str]] = []
    others: list[sa.ColumnElement[bool]] = []
    for number, name in enumerate(sorted(columns)):
        value = _value(*columns[name])
        if value is None:
            return None
        begin = f"{',' if number else '{'}{json.dumps(name, ensure_ascii=False)}:"
        parts += [sa.literal(begin, sa.Text), sa.func.coalesce(value.form, sa.literal("null", sa.Text))]
        others.append(sa.func.coalesce(value.other, sa.false()))
    text = _joined([*parts, sa.literal("}", sa.Text)])
    digest = sa.func.sha256(sa.func.convert_to(text, sa.literal("UTF8", sa.Text)), type_=sa.LargeBinary)
    each = sa.select(digest.label("digest"), sa.or_(*others).label("other")).select_from(source).where(*conditions)
    rows = each.offset(0).subquery()  # otherwise each digest would be computed three times
    halves = sa.select(
        _number(rows.c.digest, 1).label("high"), _number(rows.c.digest, 1 + _HALF).label("low"), rows.c.other
    )
    halved = halves.offset(0).subquery()
    negative = sa.func.count().filter(halved.c.low < 0)
    sums = (sa.func.sum(halved.c.high), sa.func.sum(halved.c.low))
    return sa.select(sa.func.count(), *sums, negative, sa.func.bool_or(halved.c.other))


def summed(row: sa.Row[Any]) -> Digest | None:
    """The digest; None if there was a value that the database does not write in its canonical form."""
    count, high, low, negative, other = tuple(row)
    if other:
        return None
    half = 1 << (8 * _HALF)
    total = (int(high or 0) * half + int(low or 0) + int(negative) * half) % (half * half)
    return Digest(int(count), total)


def _joined(parts: Sequence[sa.ColumnElement[str]]) -> sa.ColumnElement[str]:
    """Texts one after the other, however many there are: a function of PostgreSQL takes 100 values at most."""
    while len(parts) > MOST_ARGUMENTS:
        portions = (parts[at : at + MOST_ARGUMENTS] for at in range(0, len(parts), MOST_ARGUMENTS))
        parts = [sa.func.concat(*portion, type_=sa.Text) for portion in portions]
    return sa.func.concat(*parts, type_=sa.Text)


def _number(digest: sa.ColumnElement[bytes], at: int) -> sa.ColumnElement[int]:
    """Half of a digest, as a number with a sign."""
    digits = sa.func.encode(sa.func.substring(digest, at, _HALF), sa.literal("hex", sa.Text))
    bits = sa.cast(sa.func.concat(sa.literal("x", sa.Text), digits), pg.BIT(8 * _HALF))
    return sa.cast(bits, sa.BigInteger)


def _value(column: sa.ColumnElement[Any], base: str) -> Row | None:
    text = sa.cast(column, sa.Text)
    if base in WHOLE or base == "boolean":
        return Row(text, sa.false())
    if base in FRACTIONS:
        return _fraction(column if base == "numeric" else _of_float(text))
    if base == TIMESTAMPTZ:
        return _moment(column)
    if base in TEXTS:
        written = sa.cast(in_json(column, base), sa.Text)
        quoted = sa.cast(sa.func.to_json(written), sa.Text)
        dash = sa.func.substr(written, 5, 1) == "-"  # which is found sooner
        return Row(quoted, sa.and_(dash, written.op("~", is_comparison=True)(sa.literal(_LIKE_A_TIME, sa.Text))))
    return None


def _of_float(text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
    """A float as the number that its text says: the shortest one that means it."""
    return sa.cast(text, sa.Numeric)


def _fraction(number: sa.ColumnElement[Any]) -> Row:
    """A number; what is none is greater than all others."""
    size = sa.func.abs(number)
    least, most = (sa.cast(sa.literal(each, sa.Text), sa.Numeric) for each in (_LEAST, _MOST))
    plain = sa.or_(sa.and_(size >= least, size < most), size == 0)
    return Row(sa.cast(sa.func.trim_scale(number), sa.Text), sa.not_(plain))


def _moment(column: sa.ColumnElement[Any]) -> Row:
    utc = sa.func.timezone("UTC", column)
    first, last = (
        sa.cast(sa.literal(each, sa.Text), sa.TIMESTAMP) for each in ("0001-01-01", "9999-12-31 23:59:59.999999")
    )
    digits = sa.func.rtrim(sa.func.rtrim(sa.func.to_char(utc, _SECONDS), "0"), ".")
    form = sa.case((column.is_not(None), sa.func.concat('"', digits, 'Z"')))
    return Row(form, sa.not_(utc.between(first, last)))
