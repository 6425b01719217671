"""Inserts rows that can be assigned again, each with its label row."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.resync.database import as_number
from snk.resync.model import InsertRows
from snk.resync.tables import Tables, fitting, now

ROWS = 1000
"""Rows per round trip."""
Place = tuple[int, int]
"""A task and one of its sources."""


async def rows_of(connection: AsyncConnection, found: Tables, inserts: Sequence[InsertRows]) -> dict[Place, int]:
    """The present number of rows of each source that gets rows."""
    task, source = found.column("row", "task"), as_number(found.column("row", "source"))
    rows: dict[Place, int] = {}
    for each, sources in _sources(inserts).items():
        among = source == sa.func.any(sa.literal(sources, sa.ARRAY(sa.BigInteger)))
        asked = sa.select(source, sa.func.count()).where(task == fitting(task, each), among).group_by(source)
        rows |= {(each, number): rows_there for number, rows_there in await connection.execute(asked)}
    return rows


async def insert(connection: AsyncConnection, found: Tables, project: str, inserts: Sequence[InsertRows]) -> None:
    """Insert all rows; each statement inserts one row and its label."""
    if not inserts:
        return
    used = await used_indexes(connection, found, inserts)
    first_key = await first_new_key(connection, found)
    statement = statement_for(found, with_key=first_key is not None)
    values = parameters(found, project, inserts, used, first_key)
    # Made as they are needed: a server ends a session that is idle in a transaction for long.
    while some := list(islice(values, ROWS)):
        await connection.execute(statement, some)


def statement_for(
    found: Tables, *, with_key: bool, values: Mapping[str, Any] | None = None, expected: int | None = None
) -> sa.Insert:
    """A statement that inserts one row and its label.

    Args:
        found: the user's tables.
        with_key: whether it gives the row its key.
        values: the values to be written into the statement; without them, it has parameters.
        expected: insert only if the source has so many rows.
    """
    names, labels = found.names.row, found.names.label

    def value(part: str, name: str) -> sa.ColumnElement[Any]:
        kind = getattr(found, part).c[name].type
        if values is None:
            return sa.bindparam(f"{part}_{name}", type_=kind)
        return sa.literal(values[f"{part}_{name}"], kind)

    columns = [names.task, names.project, names.state, names.source, names.worker, names.reset]
    given = {name: value("row", name) for name in (*([names.key] if with_key else []), *columns)}
    given[names.started] = now(found.row.c[names.started])
    row = sa.insert(found.row)
    if expected is None:
        row = row.values(given)
    else:
        there = sa.select(sa.func.count()).where(
            *(found.row.c[name] == given[name] for name in (names.task, names.source))
        )
        row = row.from_select(list(given), sa.select(*given.values()).where(there.scalar_subquery() == expected))
    made = row.returning(found.row.c[names.key]).cte("made")
    told = [labels.task, labels.source, labels.index]
    chosen = sa.select(made.c[names.key], *(value("label", name) for name in told))
    return sa.insert(found.label).from_select([labels.key, *told], chosen)


def parameters(
    found: Tables, project: str, inserts: Sequence[InsertRows], used: dict[Place, set[int]], first_key: int | None
) -> Iterator[dict[str, Any]]:
    """The values of each row, in the order of the actions."""
    names, labels, row, label = found.names.row, found.names.label, found.row, found.label
    free: dict[Place, Iterator[int]] = {}
    for action in inserts:
        place = action.task, action.source
        indexes = free.setdefault(place, _free(used.get(place, set()), labels.first_index))
        for _ in range(action.rows):
            given: dict[str, str | int] = {
                names.task: action.task,
                names.project: project,
                names.state: names.assignable,
                names.source: action.source,
                names.worker: action.worker,
                names.reset: names.reset_value,
            }
            if first_key is not None:
                given[names.key] = first_key
                first_key += 1
            told = {labels.task: action.task, labels.source: action.source, labels.index: next(indexes)}
            yield {f"row_{name}": fitting(row.c[name], value) for name, value in given.items()} | {
                f"label_{name}": fitting(label.c[name], value) for name, value in told.items()
            }


def _free(used: set[int], first: int) -> Iterator[int]:
    """The indexes that are not used, from the lowest."""
    return (index for index in count(first) if index not in used)


async def used_indexes(
    connection: AsyncConnection, found: Tables, inserts: Sequence[InsertRows]
) -> dict[Place, set[int]]:
    """The label indexes in use, for each source that gets rows."""
    task, source = found.column("label", "task"), as_number(found.column("label", "source"))
    index = as_number(found.column("label", "index"))
    used: dict[Place, set[int]] = {}
    for each, sources in _sources(inserts).items():
        among = source == sa.func.any(sa.literal(sources, sa.ARRAY(sa.BigInteger)))
        asked = sa.select(source, index).where(task == fitting(task, each), among, index.is_not(None))
        for number, taken in await connection.execute(asked):
            used.setdefault((each, number), set()).add(taken)
    return used


async def first_new_key(connection: AsyncConnection, found: Tables) -> int | None:
    """The key of the first row; None if the database makes the keys."""
    key = found.column("row", "key")
    if key.server_default is not None:
        return None
    return int((await connection.execute(sa.select(sa.func.coalesce(sa.func.max(as_number(key)), 0)))).scalar_one()) + 1


def _sources(inserts: Sequence[InsertRows]) -> dict[int, list[int]]:
    sources: dict[int, dict[int, None]] = {}
    for action in inserts:
        sources.setdefault(action.task, {})[action.source] = None
    return {task: list(each) for task, each in sources.items()}
