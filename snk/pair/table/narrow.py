"""Inserting a batch that may contain refused rows: halving it until each refused row is alone.

Every attempt is a savepoint of the caller's transaction, so the rows that are accepted are committed with the mark. For
n rows, r of them bad, about 2 r log2(n / r) attempts are needed.

A trigger may fail with any error, so the error does not tell whether a row is to blame. An error that occurs without
any row is not a row's fault: a right is missing, or a statement-level trigger refuses everything. Neither is an error
that usually has another cause (`snk.db.errors.doubtful`) if every row of a batch raises it.
"""

from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.errors import COSTLY, FOREIGN_KEY_VIOLATION, doubtful, may_be_of_a_row, plain, sqlstate
from snk.errors import ParentMissing, TooLarge
from snk.pair.table.rejects import Refusal
from snk.pair.table.statement import Ready
from snk.pair.table.synced import Rows, bound

MOST_REFUSED = 500


@dataclass(slots=True)
class Narrowed:
    """The outcome for each row.

    Attributes:
        inserted: uuids that are new in the destination.
        refused: why a row was refused, by uuid.
    """

    inserted: set[str] = field(default_factory=set)
    refused: dict[str, Refusal] = field(default_factory=dict)


async def insert_narrowly(
    connection: AsyncConnection, statement: Ready, rows: Rows, *, patient: bool = False
) -> Narrowed:
    """Insert all rows that the table accepts.

    Args:
        connection: a connection in a transaction.
        statement: takes the columns of the rows as `bound` names them, and returns the uuids of new rows.
        rows: the rows to insert.
        patient: if a row refers to a missing row, raise ParentMissing instead of setting the row aside.

    Raises:
        ParentMissing: a referenced row is missing. After this and any other error, the caller must roll back.
        TooLarge: so many rows are refused that smaller batches work better.
        DBAPIError: the server refuses every statement, whatever its rows.
    """
    narrowed = Narrowed()
    if not rows:
        return narrowed
    # Constraints that are checked at the commit by default must be checked within the savepoint.
    await connection.execute(sa.DDL("SET CONSTRAINTS ALL IMMEDIATE"))  # type: ignore[no-untyped-call]
    error = await _try(connection, statement, rows, narrowed)
    if error is None:
        return narrowed
    if patient and sqlstate(error) == FOREIGN_KEY_VIOLATION:
        raise ParentMissing(plain(error))
    await statement.over(connection, bound(rows[:0].columns))
    await _halve(connection, statement, (rows, error), narrowed)
    if len(narrowed.refused) == len(rows) > 1 and all(doubtful(why.sqlstate) for why in narrowed.refused.values()):
        raise error
    return narrowed


async def _halve(
    connection: AsyncConnection, statement: Ready, refused: tuple[Rows, DBAPIError], narrowed: Narrowed
) -> None:
    """Insert the halves of the refused rows, then the halves of a refused half, until only single rows are refused."""
    waiting = [refused]
    while waiting:
        rows, error = waiting.pop()
        if len(rows) == 1:
            narrowed.refused[rows.uuids[0]] = _refusal(error)
            if len(narrowed.refused) > MOST_REFUSED:
                words = plain(error)
                raise TooLarge(f"more than {MOST_REFUSED} rows of a batch are refused, the last one: {words}")
            continue
        tried = [(half, await _try(connection, statement, half, narrowed)) for half in rows.halves()]
        waiting += [(half, again) for half, again in tried if again]


def of_these_rows(error: DBAPIError, count: int) -> bool:
    """Whether a row may be to blame, given their number; a single row may also be too costly for the server."""
    return may_be_of_a_row(error) or (count == 1 and sqlstate(error) in COSTLY)


async def _try(connection: AsyncConnection, statement: Ready, rows: Rows, narrowed: Narrowed) -> DBAPIError | None:
    """Insert all rows, or return the error."""
    try:
        async with connection.begin_nested():
            narrowed.inserted.update((await statement.over(connection, bound(rows.columns))).scalars())
    except DBAPIError as error:
        if not of_these_rows(error, len(rows)):
            raise
        return error
    return None


def _refusal(error: DBAPIError) -> Refusal:
    return Refusal(sqlstate(error), plain(error))
