"""Reads what the database holds of a project: in one snapshot, with one statement for each question."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.db.errors import plain
from snk.db.server import Server
from snk.errors import DatabaseUnfit, ProjectUnfit
from snk.resync.model import Method
from snk.resync.tables import Tables, fitting

HINT = "Check the rights of its user and the names in [resync]; docs/resync.md lists what is needed"


@dataclass(frozen=True, slots=True)
class Holding:
    """What the database holds of one task.

    Attributes:
        rows: how many rows each source has.
        last: the greatest source among each worker's rows.
        states: how many rows are in each state.
        sourceless: how many rows have no source; they count for nothing.
    """

    task: int
    rows: dict[int, int]
    last: dict[int, int]
    states: dict[str, int]
    sourceless: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """What the database holds of one project.

    Attributes:
        in_process: the states because of which writing is refused; none if it is allowed.
    """

    project: str
    method: Method
    tasks: tuple[Holding, ...]
    in_process: tuple[str, ...] = ()


@asynccontextmanager
async def understood(server: Server) -> AsyncIterator[None]:
    """Give errors of the database inside the block a hint that fits this command."""
    try:
        yield
    except DatabaseUnfit as error:
        if error.__cause__ is None:
            raise
        raise DatabaseUnfit(f"{server.address}: {plain(error.__cause__)}", hint=HINT) from error.__cause__


@asynccontextmanager
async def snapshot(server: Server) -> AsyncIterator[AsyncConnection]:
    """A connection on which all statements see the same moment, and none can write."""
    async with understood(server), server.snapshot() as connection:
        yield connection


async def project_ids(connection: AsyncConnection, found: Tables) -> list[str]:
    """All projects, in their order."""
    project = found.column("project", "project")
    return [str(each) for each in (await connection.execute(sa.select(project).distinct().order_by(project))).scalars()]


async def held(connection: AsyncConnection, found: Tables, project: str, method: Method) -> Held:
    """Everything that the database holds of a project."""
    task, owner = found.column("task", "task"), found.column("task", "project")
    of_project = sa.select(task).where(owner == fitting(owner, project)).distinct().order_by(task)
    ids = [int(each) for each in (await connection.execute(of_project)).scalars()]
    rows = await _per_source(connection, found, ids)
    last = await _per_worker(connection, found, ids) if method == "multiple" else {}
    states = await _per_state(connection, found, ids)
    sourceless = await _sourceless(connection, found, ids)
    tasks = tuple(
        Holding(each, rows.get(each, {}), last.get(each, {}), states.get(each, {}), sourceless.get(each, 0))
        for each in ids
    )
    return Held(project, method, tasks, tuple(await held_states(connection, found, project)))


async def method_of(connection: AsyncConnection, found: Tables, project: str) -> Method:
    """How the sources of a project are assigned.

    Raises:
        ProjectUnfit: there is no such project.
    """
    key, method = found.column("project", "project"), found.column("project", "method")
    asked = sa.select(sa.cast(method, sa.Text)).where(key == fitting(key, project)).distinct()
    methods = list((await connection.execute(asked)).scalars())
    if not methods:
        hint = "`snk resync check --all` lists the projects"
        raise ProjectUnfit(f"There is no project {project!r} in {key.table}", hint=hint)
    kinds: set[Method] = {"single" if _plain(each) == found.names.project.single else "multiple" for each in methods}
    if len(kinds) > 1:
        raise ProjectUnfit(f"Project {project!r} has both methods of assignment", hint=f"Settle it in {key.table}")
    return kinds.pop()


def _plain(method: str | None) -> str:
    return {"false": "0", "true": "1"}.get(method or "", (method or "").strip())


async def _per_source(connection: AsyncConnection, found: Tables, ids: Sequence[int]) -> dict[int, dict[int, int]]:
    """How many rows each source of each task has. Arrays arrive several times faster than rows."""
    task, source = found.column("row", "task"), as_number(found.column("row", "source"))
    counted = (
        sa.select(task.label("task"), source.label("source"), sa.func.count().label("rows"))
        .where(task.in_(_all(task, ids)), source.is_not(None))
        .group_by(task, source)
        .subquery()
    )
    asked = sa.select(counted.c.task, sa.func.array_agg(counted.c.source), sa.func.array_agg(counted.c.rows)).group_by(
        counted.c.task
    )
    return {int(each): dict(zip(sources, rows, strict=True)) for each, sources, rows in await connection.execute(asked)}


async def _per_worker(connection: AsyncConnection, found: Tables, ids: Sequence[int]) -> dict[int, dict[int, int]]:
    task, source = found.column("row", "task"), as_number(found.column("row", "source"))
    worker = as_number(found.column("row", "worker"))
    asked = (
        sa.select(task, worker, sa.func.max(source))
        .where(task.in_(_all(task, ids)), worker != found.names.row.unassigned, source.is_not(None))
        .group_by(task, worker)
    )
    last: dict[int, dict[int, int]] = {}
    for each, who, greatest in await connection.execute(asked):
        last.setdefault(int(each), {})[who] = greatest
    return last


async def _per_state(connection: AsyncConnection, found: Tables, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    task, state = found.column("row", "task"), found.column("row", "state")
    asked = sa.select(task, state, sa.func.count()).where(task.in_(_all(task, ids))).group_by(task, state)
    states: dict[int, dict[str, int]] = {}
    for each, name, rows in await connection.execute(asked.order_by(task, state)):
        states.setdefault(int(each), {})[str(name)] = rows
    return states


async def _sourceless(connection: AsyncConnection, found: Tables, ids: Sequence[int]) -> dict[int, int]:
    task, source = found.column("row", "task"), found.column("row", "source")
    asked = sa.select(task, sa.func.count()).where(task.in_(_all(task, ids)), source.is_(None)).group_by(task)
    return {int(each): rows for each, rows in await connection.execute(asked)}


async def held_states(connection: AsyncConnection, found: Tables, project: str) -> list[str]:
    """The states that the project is in and in which it must not be written; none if it may be."""
    if not found.names.in_process:
        return []
    state = sa.cast(found.state, sa.Text)
    if found.names.state.table == "project":
        key = found.column("project", "project")
        of_project = key == fitting(key, project)
    else:
        task, owner = found.column("task", "task"), found.column("task", "project")
        worker = found.column("row", "worker")
        of_project = sa.and_(
            found.column("row", "task").in_(sa.select(task).where(owner == fitting(owner, project))),
            # Nobody works on a row that waits to be assigned again, such as one that a repair inserted.
            worker.is_distinct_from(fitting(worker, found.names.row.unassigned)),
        )
    asked = sa.select(state).where(state.in_(found.names.in_process), of_project).distinct().order_by(state)
    return list((await connection.execute(asked)).scalars())


def _all(column: sa.Column[Any], ids: Sequence[int]) -> list[Any]:
    return [fitting(column, each) for each in ids]


def as_number(column: sa.Column[Any]) -> sa.ColumnElement[int]:
    """A column of numbers, also where it is of another type than an integer."""
    return column if isinstance(column.type, sa.Integer) else sa.cast(column, sa.BigInteger)
