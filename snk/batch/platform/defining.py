"""Reads definitions from the platform's tables, and makes the tables what a file of definitions says."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.changes import Change, Stored
from snk.batch.definition import Definitions, Group, Task, Triggered
from snk.batch.platform.tables import AUDIT, IS_LIVE, NOW, RUN, TASK
from snk.db.locks import key_of
from snk.errors import SettingsError


def as_stored(definitions: Definitions) -> Stored:
    """Definitions as rows hold them; a setting that has its default is left out."""
    tasks: dict[Any, Any] = {("task", name): _json(task) for name, task in definitions.task.items()}
    return tasks | {("group", name): _json(group) for name, group in definitions.group.items()}


async def stored(connection: AsyncConnection) -> Stored:
    """All definitions that the tables hold."""
    rows = await connection.execute(sa.select(TASK.c.kind, TASK.c.name, TASK.c.definition))
    return {(row.kind, row.name): row.definition for row in rows}


def as_definitions(given: Stored) -> Definitions:
    """Definitions that were stored, as a file has them."""
    tasks = {name: Task.model_validate(each) for (kind, name), each in given.items() if kind == "task"}
    groups = {name: Group.model_validate(each) for (kind, name), each in given.items() if kind == "group"}
    return Definitions(task=tasks, group=groups)


async def lock(connection: AsyncConnection) -> None:
    """Let nobody else change definitions until the transaction ends."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key_of("snk batch apply"))))


async def apply(connection: AsyncConnection, changes: Sequence[Change], who: str) -> None:
    """Make changes, in a transaction in which the definitions are locked.

    Raises:
        SettingsError: what would be removed has a run that is under way.
    """
    for change in changes:
        same = sa.and_(TASK.c.name == change.name, TASK.c.kind == change.kind)
        if change.after is None:
            await _refuse_live(connection, change.name)
            await connection.execute(sa.delete(TASK).where(same))
        else:
            now = (await connection.execute(sa.select(NOW))).scalar_one()
            await connection.execute(_upsert(change, now))
        what = {"+": "added", "-": "removed", "*": "changed"}[change.sign]
        reason = "; ".join(line.strip() for line in list(change.lines())[1:])
        await connection.execute(sa.insert(AUDIT).values(who=who, what=what, subject=change.name, reason=reason))


def _upsert(change: Change, now: datetime) -> pg.Insert:
    assert change.after is not None  # noqa: S101 - it is not removed
    model: type[Triggered] = Task if change.kind == "task" else Group
    found = model.model_validate(change.after)
    values: dict[str, Any] = {
        "kind": change.kind,
        "definition": change.after,
        "message": found.message,
        "changed_at": NOW,
    }
    before = change.before or {}
    if any(before.get(name) != change.after.get(name) for name in ("cron", "zone")):
        values["next_tick"] = next(found.calendar.after(now), None) if found.calendar else None
    insert = pg.insert(TASK).values(name=change.name, **values)
    return insert.on_conflict_do_update(index_elements=[TASK.c.name], set_=values)


async def _refuse_live(connection: AsyncConnection, name: str) -> None:
    wanted = sa.select(RUN.c.id).where(RUN.c.task == name, IS_LIVE).limit(1)
    if (run := (await connection.execute(wanted)).scalar_one_or_none()) is not None:
        hint = f"Wait for it, or cancel it: `snk batch cancel {run}`"
        raise SettingsError(f"{name!r} cannot be removed: its run {run} is under way", hint=hint)


def _json(model: Triggered) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True)
