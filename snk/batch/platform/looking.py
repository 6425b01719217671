"""Looks up runs for people: lists of them, and all that is known of one."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.platform.moves import Unknown
from snk.batch.platform.tables import ATTEMPT, AUDIT, FILE, RUN

Row = dict[str, Any]
"""A row as JSON has it."""
SHOWN = ("id", "task", "key", "parent", "state", "overdue", "active", "reason", "node", "consumer", "calls", "tries")
TIMES = ("due_at", "deadline_at", "created_at", "started_at", "ended_at")
_RUN = [RUN.c[name] for name in (*SHOWN, *TIMES)]


async def runs(connection: AsyncConnection, task: str | None, states: list[str], most: int) -> list[Row]:
    """The newest runs, newest first.

    Args:
        connection: any.
        task: of this task or group only.
        states: in one of these only; empty for all.
        most: how many.
    """
    wanted = sa.select(*_RUN).order_by(RUN.c.id.desc()).limit(most)
    if task is not None:
        wanted = wanted.where(RUN.c.task == task)
    if states:
        wanted = wanted.where(RUN.c.state.in_(states))
    return [_json(row) for row in (await connection.execute(wanted)).mappings()]


async def one(connection: AsyncConnection, run: int) -> Row:
    """A run with its files, its calls, its tasks if it is that of a group, and its audit.

    Raises:
        Unknown: there is no such run.
    """
    row = (await connection.execute(sa.select(*_RUN, RUN.c.payload).where(RUN.c.id == run))).mappings().one_or_none()
    if row is None:
        raise Unknown(f"there is no run {run}")
    parts = {
        "files": sa.select(FILE).where(FILE.c.run == run).order_by(FILE.c.name),
        "attempts": sa.select(ATTEMPT).where(ATTEMPT.c.run == run).order_by(ATTEMPT.c.fence),
        "tasks": sa.select(*_RUN).where(RUN.c.parent == run).order_by(RUN.c.position),
        "audit": sa.select(AUDIT).where(AUDIT.c.subject == f"run {run}").order_by(AUDIT.c.id),
    }
    found = {
        name: [_json(each) for each in (await connection.execute(asked)).mappings()] for name, asked in parts.items()
    }
    return {**_json(row), **found}


def _json(row: sa.RowMapping) -> Row:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
