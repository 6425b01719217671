"""Finds out which record and which column is to blame when PostgreSQL refuses to store records.

It tells the constraint and its columns for some errors, and nothing for a text that cannot be converted. So the blame
is found by trying again, with fewer records and fewer columns, in transactions that are undone.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.errors import plain, sqlstate
from snk.http.api.problem import Problem
from snk.serve.inserting import given, insert, records_of
from snk.serve.payload import Payload, Record
from snk.serve.table import Dataset, columns_of_constraint
from snk.serve.values import COMPARABLE, as_text

UNIQUE, EXCLUSION, FOREIGN_KEY = "23505", "23P01", "23503"
_REFUSALS = ("22", "23", "44", "54", "P0001")
"""Data errors, violated constraints and views' checks, limits of the program, and what a trigger raises."""


def is_refusal(error: DBAPIError) -> bool:
    """Whether the records are to blame."""
    state = sqlstate(error)
    return bool(state) and not error.connection_invalidated and state.startswith(_REFUSALS)


async def refusal(connection: AsyncConnection, dataset: Dataset, payload: Payload, error: DBAPIError) -> Problem:
    """The problem to answer with.

    Args:
        connection: with no transaction.
        dataset: where the records were to be stored.
        payload: the records.
        error: what PostgreSQL said.
    """
    more: dict[str, Any] = {}
    record = payload.records[0]
    if payload.batch:
        index = await _first_failing(payload.records, lambda some: _stored(connection, dataset, some))
        more["index"] = index
        record = payload.records[index or 0]
    state, words = sqlstate(error), plain(error)
    more["field"] = await _blamed(connection, dataset, error)
    if state == UNIQUE and await _already_there(connection, dataset, payload.records):
        return Problem(409, "already-stored", "It is stored already, with the same values", {**more, "equal": True})
    if state in (UNIQUE, EXCLUSION):
        return Problem(409, "conflict", words, {**more, "equal": False})
    if state == FOREIGN_KEY:
        return Problem(409, "missing-reference", words, more)
    more["field"] = more["field"] or await _unreadable(connection, dataset, record)
    return Problem(422, "refused-record", words, more)


async def _blamed(connection: AsyncConnection, dataset: Dataset, error: DBAPIError) -> str | None:
    """The column that PostgreSQL names, or the first one of the constraint that it names."""
    told = getattr(error.orig, "__cause__", None)
    if name := getattr(told, "column_name", None):
        return name if name in dataset.columns else None
    constraint, table = getattr(told, "constraint_name", None), getattr(told, "table_name", None)
    if not constraint or not table:
        return None
    schema = str(getattr(told, "schema_name", None) or "")
    async with connection.begin():
        columns = await columns_of_constraint(connection, (schema, str(table)), str(constraint))
    return next((name for name in columns if name in dataset.columns), None)


async def _unreadable(connection: AsyncConnection, dataset: Dataset, record: Record) -> str | None:
    """The first column whose value PostgreSQL cannot convert."""
    names = list(record)

    async def read(some: Sequence[str]) -> None:
        source, values = records_of(dataset, some), given([{name: record[name] for name in some}])
        await connection.execute(sa.select(*(source.c[name].is_(None) for name in some)), values)

    at = await _first_failing(names, lambda some: _undone(connection, read(some)))
    return None if at is None else names[at]


async def _already_there(connection: AsyncConnection, dataset: Dataset, records: Sequence[Record]) -> bool:
    """Whether every record is there under its key, and equal in all columns that were sent."""
    there = 0
    async with connection.begin():
        for record in records:
            if dataset.key not in record:
                return False
            source = records_of(dataset, list(record))
            same = [_same(dataset, name, source.c[name]) for name in record if name != dataset.key]
            found = sa.select(sa.func.count()).select_from(
                dataset.table.join(source, dataset.column(dataset.key) == source.c[dataset.key])
            )
            there += (await connection.execute(found.where(*same), given([record]))).scalar_one()
            if not there:
                return False
    return there == len(records)


def _same(dataset: Dataset, name: str, sent: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    column = dataset.column(name)
    if dataset.columns[name].base in COMPARABLE:
        return column.is_not_distinct_from(sent)
    return as_text(column).is_not_distinct_from(as_text(sent))


async def _stored(connection: AsyncConnection, dataset: Dataset, records: Sequence[Record]) -> bool:
    return await _undone(connection, insert(connection, dataset, records))


async def _undone(connection: AsyncConnection, doing: Awaitable[Any]) -> bool:
    """Whether something succeeds, in a transaction that is undone."""
    async with connection.begin() as transaction:
        try:
            await doing
        except DBAPIError as error:
            if not is_refusal(error):
                raise
            return False
        finally:
            await transaction.rollback()
    return True


async def _first_failing(items: Sequence[Any], succeeds: Callable[[Sequence[Any]], Awaitable[bool]]) -> int | None:
    """The place of the first item with which the items up to it fail; None if none fails any more."""
    if await succeeds(items):
        return None
    good, bad = 0, len(items)
    while bad - good > 1:
        middle = (good + bad) // 2
        if await succeeds(items[:middle]):
            good = middle
        else:
            bad = middle
    return bad - 1
