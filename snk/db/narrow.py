"""Inserting a batch of which some rows may be refused: halved, again and again, until those stand alone.

Every try is a savepoint of the caller's transaction, so whatever is taken is committed with the mark. Of n rows, r of
them bad, about 2 r log2(n / r) tries are needed.
"""

import asyncio
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.engine import is_refusal, plain, sqlstate
from snk.db.rejects import Refusal
from snk.db.table import Rows, bound
from snk.errors import TooLarge

MOST_REFUSED = 500
# A row may refer to one that another flow brings in this moment; it costs less to wait for it than to narrow down.
FOREIGN_KEY_VIOLATION = "23503"
REFERRED_WAIT_SECONDS = (0.01, 0.03, 0.1)


@dataclass(slots=True)
class Narrowed:
    """What became of the rows.

    Attributes:
        inserted: uuids that are new in the destination.
        refused: why a row was not taken, by uuid.
    """

    inserted: set[str] = field(default_factory=set)
    refused: dict[str, Refusal] = field(default_factory=dict)


async def insert_narrowly(connection: AsyncConnection, statement: sa.Executable, rows: Rows) -> Narrowed:
    """Insert all rows that the table takes, by a statement that returns the uuids of those that were not there.

    Raises:
        TooLarge: so many are refused that smaller batches serve better; the caller's transaction is to be rolled back.
    """
    narrowed = Narrowed()
    if not rows:
        return narrowed
    # What is checked at the commit by itself is to be checked within the savepoint.
    await connection.execute(sa.DDL("SET CONSTRAINTS ALL IMMEDIATE"))  # type: ignore[no-untyped-call]
    refusal = await _try(connection, statement, rows, narrowed)
    for seconds in REFERRED_WAIT_SECONDS:
        if refusal is None or refusal.sqlstate != FOREIGN_KEY_VIOLATION:
            break
        await asyncio.sleep(seconds)
        refusal = await _try(connection, statement, rows, narrowed)
    waiting = [] if refusal is None else [(rows, refusal)]
    while waiting:
        refused, refusal = waiting.pop()
        if len(refused) == 1:
            narrowed.refused[refused.uuids[0]] = refusal
            if len(narrowed.refused) > MOST_REFUSED:
                raise TooLarge(f"more than {MOST_REFUSED} rows of a batch are refused, the last one: {refusal.error}")
            continue
        tried = [(half, await _try(connection, statement, half, narrowed)) for half in refused.halves()]
        waiting += [(half, again) for half, again in tried if again]
    return narrowed


async def _try(connection: AsyncConnection, statement: sa.Executable, rows: Rows, narrowed: Narrowed) -> Refusal | None:
    """Insert all of them, or say why not."""
    try:
        async with connection.begin_nested():
            narrowed.inserted.update((await connection.execute(statement, bound(rows.columns))).scalars())
    except DBAPIError as error:
        if not is_refusal(error):
            raise
        return Refusal(sqlstate(error), plain(error.orig or error))
    return None
