"""Turns triggers into runs: one for each key, ever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import File, Group, Overlap, Task
from snk.batch.platform.moves import Move, Unknown, hold, move, note
from snk.batch.platform.tables import IS_LIVE, RUN, TASK, TRIGGER
from snk.batch.state import Event
from snk.errors import Stop

Outcome = Literal["run", "joined", "skipped"]
MODELS: Mapping[str, type[Task | Group]] = {"task": Task, "group": Group}


class Differs(Stop):
    """The key was used before, with another payload."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """Something that starts a task or a group.

    Attributes:
        target: its name.
        key: what identifies the trigger.
        source: a message, the calendar, a channel or a person.
        who: for the audit.
        payload: passed on to the consumer.
        files: which files are run; None for all.
    """

    target: str
    key: str
    source: str
    who: str
    payload: Mapping[str, Any]
    files: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Triggered:
    """What came of a trigger.

    Attributes:
        outcome: ``run`` started one, ``joined`` a run that waits already, or was ``skipped``.
        run: that run; None if it was skipped.
        again: whether the same trigger came before, so that this one changed nothing.
    """

    outcome: Outcome
    run: int | None
    again: bool = False


async def trigger(connection: AsyncConnection, given: Trigger) -> Triggered:
    """Start a task or a group, unless the key was used before. To be called in a transaction.

    Raises:
        Unknown: there is no such task or group.
        Differs: the key was used before, with another payload.
    """
    row = (await connection.execute(sa.select(TASK).where(TASK.c.name == given.target).with_for_update())).one_or_none()
    if row is None:
        raise Unknown(f"there is no task or group {given.target!r}")
    if known := await _known(connection, given):
        return known
    target: Task | Group = MODELS[row.kind].model_validate(row.definition)
    group = target if isinstance(target, Group) else None
    _check_files(given, {} if isinstance(target, Group) else target.files)
    found = await _beside(connection, given, target.overlap)
    if found is None:
        run = await _create(connection, given, group.mode if group else None)
        if group:
            await _create_children(connection, given, run, group.tasks)
        found = Triggered("run", run)
    await connection.execute(
        sa.insert(TRIGGER).values(
            target=given.target,
            key=given.key,
            source=given.source,
            payload=dict(given.payload),
            outcome=found.outcome,
            run=found.run,
        )
    )
    subject = given.target if found.run is None else f"run {found.run}"
    await note(connection, given.who, f"triggered ({found.outcome})", subject, f"{given.source} {given.key}")
    return found


def _check_files(given: Trigger, known: Mapping[str, File]) -> None:
    if unknown := [name for name in given.files or () if name not in known]:
        listed = ", ".join(sorted(known)) or "none"
        raise Unknown(f"{given.target!r} has no file {unknown[0]!r}; there are: {listed}")


async def _known(connection: AsyncConnection, given: Trigger) -> Triggered | None:
    """What came of the same trigger before."""
    same = (TRIGGER.c.target == given.target, TRIGGER.c.key == given.key)
    row = (await connection.execute(sa.select(TRIGGER).where(*same))).one_or_none()
    if row is None:
        return None
    if row.payload != dict(given.payload):
        raise Differs(f"the key {given.key!r} was used before, with another payload")
    return Triggered(row.outcome, row.run, again=True)


async def _beside(connection: AsyncConnection, given: Trigger, overlap: Overlap) -> Triggered | None:
    """What comes of a trigger while others of its target are live; None if it starts a run."""
    wanted = (
        sa.select(RUN.c.id, RUN.c.active, RUN.c.parent).where(RUN.c.task == given.target, IS_LIVE).order_by(RUN.c.id)
    )
    live = (await connection.execute(wanted)).all()
    if not live:
        return None
    if overlap == "skip":
        return Triggered("skipped", None)
    if overlap == "queue":
        queued = [row.id for row in live if not row.active and row.parent is None]
        return Triggered("joined", queued[0]) if queued and len(live) > 1 else None
    for row in live:
        held = await hold(connection, row.id)
        if held and held.state in ("WAITING", "RUNNING"):
            await move(connection, held, Move(Event.CANCELLED, given.who, f"overtaken by the trigger {given.key}"))
    return None


async def _create(connection: AsyncConnection, given: Trigger, mode: str | None) -> int:
    statement = sa.insert(RUN).values(
        task=given.target, key=given.key, mode=mode, payload=dict(given.payload), files=_names(given.files)
    )
    return int((await connection.execute(statement.returning(RUN.c.id))).scalar_one())


async def _create_children(connection: AsyncConnection, given: Trigger, parent: int, tasks: Sequence[str]) -> None:
    for position, task in enumerate(tasks):
        values = {"task": task, "key": f"{given.target}/{given.key}", "parent": parent, "position": position}
        await connection.execute(sa.insert(RUN).values(**values, payload=dict(given.payload)))


def _names(files: tuple[str, ...] | None) -> object:
    return sa.null() if files is None else list(files)
