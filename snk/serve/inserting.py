"""Inserts records that PostgreSQL itself reads from JSON."""

import functools
from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.serve.payload import Record, text_of
from snk.serve.table import Dataset
from snk.serve.values import as_text


def records_of(dataset: Dataset, columns: Sequence[str]) -> sa.TableValuedAlias:
    """Records as a table of these columns, with the types that the dataset gives them; see `given`."""
    document = sa.cast(sa.bindparam("a_document", type_=sa.Text), pg.JSON)
    typed = (sa.column(name, dataset.column(name).type) for name in columns)
    return sa.func.json_to_recordset(document).table_valued(*typed, name="given").render_derived(with_types=True)


def given(records: Sequence[Record]) -> dict[str, str]:
    """The parameters of a statement that has `records_of`."""
    return {"a_document": text_of(records)}


async def insert(connection: AsyncConnection, dataset: Dataset, records: Sequence[Record]) -> str | None:
    """Insert records, in the caller's transaction; return the key of a single one as JSON.

    Records that have the same columns are inserted by one statement; columns that they lack get their defaults.
    """
    key = None
    for columns, group in _by_columns(records):
        result = await connection.execute(_inserting(dataset, columns, len(records) == 1), given(group))
        key = result.scalar() if len(records) == 1 else None
    return key


@functools.lru_cache(maxsize=1000)
def _inserting(dataset: Dataset, columns: tuple[str, ...], returning: bool) -> sa.Executable:  # noqa: FBT001
    """Making a statement takes longer than running it, so it is kept."""
    source = records_of(dataset, columns)
    inserted = pg.insert(dataset.table).from_select(list(columns), sa.select(*(source.c[name] for name in columns)))
    key = as_text(sa.func.to_json(dataset.column(dataset.key)))
    return inserted.returning(key) if returning else inserted


def _by_columns(records: Iterable[Record]) -> list[tuple[tuple[str, ...], list[Record]]]:
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(_sorted(tuple(record)), []).append(record)
    return list(groups.items())


@functools.lru_cache(maxsize=1000)
def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names))
