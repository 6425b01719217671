"""Reads definitions from the platform's tables, and makes the tables what a file of definitions says."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.changes import Change, Stored
from snk.batch.definition import Definitions, Group, Task, Triggered
from snk.batch.faults import first_fault
from snk.batch.platform.moves import audit
from snk.batch.platform.tables import IS_LIVE, NOW, RUN, TASK
from snk.db.functions import setting
from snk.db.locks import lock_in_transaction
from snk.errors import SettingsError, Stop

_MODELS: Mapping[str, type[Task | Group]] = {"task": Task, "group": Group}


class NotUnderstood(Stop):
    """A definition is not one that this version understands: a newer one wrote it."""


def target_of(name: str, kind: str, definition: Mapping[str, Any]) -> Task | Group:
    """A task or group as it is defined.

    Raises:
        NotUnderstood: this version does not understand its definition.
    """
    try:
        return _MODELS[kind].model_validate(definition)
    except ValidationError as error:
        place, fault = first_fault(error)
        words = f"{name!r}: its definition is not one that this version understands ({place}: {fault})"
        raise NotUnderstood(words, hint="Use the version of SNK that wrote it, or a newer one") from None


def as_stored(definitions: Definitions) -> Stored:
    """Definitions as rows hold them; a setting that has its default is left out."""
    tasks: dict[Any, Any] = {("task", name): _json(task) for name, task in definitions.task.items()}
    return tasks | {("group", name): _json(group) for name, group in definitions.group.items()}


async def stored(connection: AsyncConnection) -> Stored:
    """All definitions that the tables hold."""
    rows = await connection.execute(sa.select(TASK.c.kind, TASK.c.name, TASK.c.definition))
    return {(row.kind, row.name): row.definition for row in rows}


def as_definitions(given: Stored) -> Definitions:
    """Definitions that were stored, as a file has them.

    Raises:
        NotUnderstood: one of them is of a newer version.
    """
    targets = [(name, target_of(name, kind, each)) for (kind, name), each in given.items()]
    tasks = {name: each for name, each in targets if isinstance(each, Task)}
    groups = {name: each for name, each in targets if isinstance(each, Group)}
    return Definitions(task=tasks, group=groups)


async def lock(connection: AsyncConnection) -> None:
    """Let nobody else change definitions until the transaction ends, which may work on them for a while."""
    await connection.execute(sa.select(setting("idle_in_transaction_session_timeout", "10min", local=True)))
    await lock_in_transaction(connection, "snk batch apply")


async def apply(connection: AsyncConnection, changes: Sequence[Change], who: str) -> None:
    """Make changes, in a transaction in which the definitions are locked.

    Raises:
        SettingsError: what would be removed has a run that is under way.
    """
    names = [change.name for change in changes]  # triggers lock them in the same order: none comes after the look
    known = sa.select(TASK.c.name).where(TASK.c.name.in_(names)).order_by(TASK.c.name)
    await connection.execute(known.with_for_update())
    gone = [change for change in changes if change.after is None]
    for change in gone:
        await _refuse_live(connection, change.name)
        same = sa.and_(TASK.c.name == change.name, TASK.c.kind == change.kind)
        await connection.execute(sa.delete(TASK).where(same))
    now = (await connection.execute(sa.select(NOW))).scalar_one()
    found = [_row(change, now) for change in changes if change.after is not None]
    for again in (True, False):  # a calendar that stays the same goes on where it stands
        if rows := [row for row, stays in found if stays is again]:
            await connection.execute(_upsert(stays=again), rows)
    await audit(connection, [_line(change, who) for change in changes])


def _line(change: Change, who: str) -> dict[str, object]:
    what = {"+": "added", "-": "removed", "*": "changed"}[change.sign]
    reason = "; ".join(line.strip() for line in list(change.lines())[1:])
    return {"who": who, "what": what, "subject": change.name, "reason": reason}


def _row(change: Change, now: datetime) -> tuple[dict[str, Any], bool]:
    """A task as a row, and whether its calendar stays the same."""
    before, after = change.before or {}, change.after or {}
    model: type[Triggered] = Task if change.kind == "task" else Group
    found = model.model_validate(after)
    row = {"name": change.name, "kind": change.kind, "definition": after, "message": found.message}
    if all(before.get(name) == after.get(name) for name in ("cron", "zone")):
        return row, True
    return {**row, "next_tick": next(found.calendar.after(now), None) if found.calendar else None}, False


def _upsert(*, stays: bool) -> pg.Insert:
    insert = pg.insert(TASK).values(changed_at=NOW)
    names = ("kind", "definition", "message", "changed_at", *(() if stays else ("next_tick",)))
    values = {name: insert.excluded[name] for name in names}
    return insert.on_conflict_do_update(index_elements=[TASK.c.name], set_=values)


async def _refuse_live(connection: AsyncConnection, name: str) -> None:
    wanted = sa.select(RUN.c.id).where(RUN.c.task == name, IS_LIVE).limit(1)
    if (run := (await connection.execute(wanted)).scalar_one_or_none()) is not None:
        hint = f"Wait for it, or cancel it: `snk batch cancel {run}`"
        raise SettingsError(f"{name!r} cannot be removed: its run {run} is under way", hint=hint)


def _json(model: Triggered) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True)
