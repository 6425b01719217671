"""Reads pages, frames and digests.

Pages are found by key: a page starts after the last key of the one before it. So a record that is there all the time
is on exactly one page, whatever is inserted and deleted meanwhile. Keys are compared by the database, because only it
knows the order of its collation.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.core.canonical import Digest
from snk.db.functions import interval
from snk.db.relation import TIMESTAMP, Typed
from snk.db.summed import summed, summing
from snk.digests import DECODER, exact_digest
from snk.serve.table import Dataset
from snk.serve.values import as_text, record_text

PORTION_ROWS = 500
CHANGE_SECONDS = 26 * 3600.0
"""No zone's clock was ever changed by more."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, half-open; None if unbounded. The times have a time zone."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def as_json(self) -> dict[str, str]:
        """Its bounds in UTC."""
        bounds = {"from": self.start, "to": self.end}
        return {name: written(at) for name, at in bounds.items() if at is not None}


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        records: each as JSON.
        next: the last key, if there are more.
    """

    records: Sequence[str]
    next: str | None


def written(at: datetime) -> str:
    """A time in UTC."""
    return at.replace(tzinfo=None).isoformat() + "Z"


async def read_page(connection: AsyncConnection, dataset: Dataset, limit: int, after: str | None, span: Span) -> Page:
    """One page in the order of keys: those greater than ``after``, which is a key as PostgreSQL writes it."""
    key = dataset.column(dataset.key)
    text, source = record_text(dataset, dataset.read)
    asked = sa.select(text, as_text(key)).select_from(source).where(*within(dataset, span)).order_by(key)
    if not dataset.columns[dataset.key].not_null:
        asked = asked.where(key.is_not(None))
    if after is not None:
        typed = Typed(dataset.columns[dataset.key].type)
        asked = asked.where(key > sa.cast(sa.literal(after, sa.Text), typed))
    rows = (await connection.execute(asked.limit(limit + 1))).all()
    records = [row[0] for row in rows[:limit]]
    return Page(records, rows[limit - 1][1] if len(rows) > limit else None)


async def read_records(
    connection: AsyncConnection, dataset: Dataset, columns: tuple[str, ...], span: Span
) -> AsyncIterator[list[str]]:
    """The records of a span in portions, each record as JSON, in the order of keys.

    The database keeps the rest until it is fetched, so memory does not grow with their number.
    """
    text, source = record_text(dataset, columns)
    asked = sa.select(text).select_from(source).where(*within(dataset, span)).order_by(dataset.column(dataset.key))
    result = await connection.stream(asked, execution_options={"yield_per": PORTION_ROWS})
    async for portion in result.scalars().partitions():
        yield list(portion)


async def fingerprint(connection: AsyncConnection, dataset: Dataset, span: Span) -> str:
    """A hash of the records of a span, computed by the database: the sum of two hashes of 64 bits for each."""
    text, source = record_text(dataset, dataset.read)
    sums = [as_text(sa.func.sum(sa.func.hashtextextended(text, sa.literal(seed, sa.BigInteger)))) for seed in (1, 2)]
    asked = sa.select(sa.func.count(), *sums).select_from(source).where(*within(dataset, span))
    return "-".join(str(part) for part in (await connection.execute(asked)).one())


async def read_digest(connection: AsyncConnection, dataset: Dataset, columns: tuple[str, ...], span: Span) -> Digest:
    """The digest of the records of a span, of these columns only; the database computes it if it can."""
    typed = {name: (dataset.column(name), dataset.columns[name].base) for name in columns}
    asked = summing(typed, dataset.table, *within(dataset, span))
    if asked is not None and (found := summed((await connection.execute(asked)).one())) is not None:
        return found
    digest = Digest()
    async for portion in read_records(connection, dataset, columns, span):
        add(digest, portion)
    return digest


def add(digest: Digest, records: Sequence[str]) -> None:
    """Add records, each as JSON."""
    for record in records:
        digest.add(exact_digest(DECODER.decode(record)))


def within(dataset: Dataset, span: Span) -> list[sa.ColumnElement[bool]]:
    """The conditions that the time of a record is within a span."""
    if span.start is None and span.end is None:
        return []
    column = dataset.column(dataset.time)
    start, end = (None if at is None else _moment(at) for at in (span.start, span.end))
    if dataset.columns[dataset.time].base != TIMESTAMP:
        return _between(column, start, end)
    # A local time is in exactly one span, also if the clock shows it twice or never: the one that PostgreSQL's own
    # conversion puts it into. The index is of the local time; so what it is to find is bounded by all offsets around.
    exact = sa.func.timezone(sa.literal(dataset.time_zone, sa.Text), column)
    moments = [each for each in (start, end) if each is not None]
    offsets = [offset for each in moments for offset in _offsets(each, dataset.time_zone)]
    least = None if start is None else sa.func.timezone("UTC", start) + sa.func.least(*offsets)
    most = None if end is None else sa.func.timezone("UTC", end) + sa.func.greatest(*offsets)
    return [*_between(exact, start, end), *_between(column, least, most)]


def _moment(at: datetime) -> sa.ColumnElement[datetime]:
    return sa.literal(at, sa.DateTime(timezone=True))


def _between(value: Any, start: Any, end: Any) -> list[sa.ColumnElement[bool]]:
    return ([] if start is None else [value >= start]) + ([] if end is None else [value < end])


def _offsets(at: sa.ColumnElement[datetime], zone: str) -> list[sa.ColumnElement[timedelta]]:
    """How far the clock of a zone is ahead of UTC at a moment, and around it."""
    around = (at - interval(CHANGE_SECONDS), at, at + interval(CHANGE_SECONDS))
    name = sa.literal(zone, sa.Text)
    return [sa.func.timezone(name, each) - sa.func.timezone("UTC", each) for each in around]
