"""Merges the records of a file into its target: all that are valid, by one statement, so all or none are there."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.exc import DBAPIError

from snk.batch.consumer.failing import FileFailed
from snk.batch.consumer.tables import STAGED
from snk.batch.consumer.target import Target
from snk.batch.consumer.work import Work
from snk.db.errors import plain, sqlstate

KEY_TWICE = "21000"
_REFUSALS = ("22", "23", "44", "54", "55000", "P0001", "42501", KEY_TWICE)
"""Data errors, violated constraints, views' checks, program limits such as the size of an index entry, keys that may be
checked later (DEFERRABLE), what a trigger raises, and missing rights.
"""


async def merge(work: Work, target: Target) -> None:
    """Insert the valid records, or update the rows that have their keys.

    Raises:
        FileFailed: the database refuses a record.
    """
    async with work.step() as step:
        try:
            done = await step.connection.execute(_merging(target, work.id))
        except DBAPIError as error:
            if error.connection_invalidated or not sqlstate(error).startswith(_REFUSALS):
                raise
            words = plain(error)
            if sqlstate(error) == KEY_TWICE:
                words = f"two records have the same {', '.join(target.key)}"
            raise FileFailed(f"{target.table.fullname}: {words}; nothing was merged") from error
        await step.note(applied=done.rowcount)


def _merging(target: Target, file: int) -> sa.Executable:
    names = list(target.columns)
    values = [target.value(STAGED.c.record, name) for name in names]
    insert = pg.insert(target.table).from_select(names, sa.select(*values).where(STAGED.c.file == file))
    changed: dict[str, Any] = {name: insert.excluded[name] for name in names if name not in target.key}
    changed = changed or {name: insert.excluded[name] for name in target.key}
    return insert.on_conflict_do_update(index_elements=list(target.key), set_=changed)
