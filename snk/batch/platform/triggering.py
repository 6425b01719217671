"""Turns triggers into runs: one for each key, ever."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from snk.batch.definition import Group, Task
from snk.batch.payload import exact
from snk.batch.platform.defining import target_of
from snk.batch.platform.ending import end
from snk.batch.platform.moves import Move, Unknown, audit, hold
from snk.batch.platform.tables import IS_LIVE, RUN, TASK, TRIGGER
from snk.batch.state import LIVE, Event
from snk.errors import Stop

Outcome = Literal["run", "joined", "skipped"]
CALENDAR = "calendar"
"""The source of ticks, and the first word of their keys."""


class Differs(Stop):
    """The key was used before, with another payload."""


class Reserved(Stop):
    """The key is one of the calendar's."""


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
        backfill: whether its run gives way to those of the present.
    """

    target: str
    key: str
    source: str
    who: str
    payload: Mapping[str, Any]
    files: tuple[str, ...] | None = None
    backfill: bool = False


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
        Unknown: there is no such task or group, or it has no such file.
        Differs: the key was used before, with another payload.
        Reserved: the key is one of the calendar's.
        NotUnderstood: its definition is of a newer version.
    """
    return (await trigger_all(connection, [given]))[0]


async def trigger_all(connection: AsyncConnection, given: Sequence[Trigger]) -> list[Triggered]:
    """Start tasks and groups, in this order if one is there several times; all of them or none. See `trigger`."""
    targets = await _locked(connection, {each.target for each in given})
    for each in given:
        _check(each, targets)
    found = await _known(connection, given)
    results: list[Triggered | None] = [None] * len(given)
    for wave in _waves(given):
        before = set(found)
        fresh = [each for _, each in wave if (each.target, each.key) not in found]
        found |= {(each.target, each.key): row for each, row in await _start(connection, fresh, targets)}
        for at, each in wave:
            results[at] = _result(each, found[each.target, each.key], again=(each.target, each.key) in before)
    return [each for each in results if each is not None]


async def start_all(connection: AsyncConnection, given: Sequence[Trigger], target: Task | Group) -> list[int]:
    """Start a run for each trigger of one target, in this order and whatever is under way; return their numbers.

    To be called in a transaction in which the target is locked, with triggers of which none came before.
    """
    runs = await _create(connection, given, dict.fromkeys((each.target for each in given), target))
    await _keep(
        connection, [(each, _Known(dict(each.payload), "run", run)) for each, run in zip(given, runs, strict=True)]
    )
    return runs


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a trigger."""

    payload: Mapping[str, Any]
    outcome: Outcome
    run: int | None


def _result(given: Trigger, known: _Known, *, again: bool) -> Triggered:
    if exact(known.payload) != exact(given.payload):
        raise Differs(f"the key {given.key!r} was used before, with another payload")
    return Triggered(known.outcome, known.run, again)


def _waves(given: Sequence[Trigger]) -> list[list[tuple[int, Trigger]]]:
    """Triggers with their places, parted so that no part has a target twice."""
    waves: list[list[tuple[int, Trigger]]] = []
    seen: Counter[str] = Counter()
    for at, each in enumerate(given):
        if seen[each.target] == len(waves):
            waves.append([])
        waves[seen[each.target]].append((at, each))
        seen[each.target] += 1
    return waves


async def _locked(connection: AsyncConnection, names: set[str]) -> dict[str, Task | Group]:
    """The tasks and groups, locked in the order of their names, so that no two transactions wait for each other."""
    wanted = sa.select(TASK.c.name, TASK.c.kind, TASK.c.definition).where(TASK.c.name.in_(names))
    rows = await connection.execute(wanted.order_by(TASK.c.name).with_for_update())
    return {name: target_of(name, kind, definition) for name, kind, definition in rows}


def _check(given: Trigger, targets: Mapping[str, Task | Group]) -> None:
    if given.key.startswith(f"{CALENDAR} ") and given.source != CALENDAR and not given.backfill:
        raise Reserved(f"the key {given.key!r} begins as those of the calendar do", hint="Use another one")
    target = targets.get(given.target)
    if target is None:
        raise Unknown(f"there is no task or group {given.target!r}")
    known = {} if isinstance(target, Group) else target.files
    if unknown := [name for name in given.files or () if name not in known]:
        listed = ", ".join(sorted(known)) or "none"
        raise Unknown(f"{given.target!r} has no file {unknown[0]!r}; there are: {listed}")


async def _known(connection: AsyncConnection, given: Sequence[Trigger]) -> dict[tuple[str, str], _Known]:
    """What came of the same triggers before."""
    same = sa.tuple_(TRIGGER.c.target, TRIGGER.c.key).in_([(each.target, each.key) for each in given])
    columns = (TRIGGER.c.target, TRIGGER.c.key, TRIGGER.c.payload, TRIGGER.c.outcome, TRIGGER.c.run)
    rows = await connection.execute(sa.select(*columns).where(same))
    return {(row.target, row.key): _Known(row.payload, row.outcome, row.run) for row in rows}


async def _start(
    connection: AsyncConnection, given: Sequence[Trigger], targets: Mapping[str, Task | Group]
) -> list[tuple[Trigger, _Known]]:
    """Start what was not triggered before; each target is there once."""
    live = await _live(connection, [each.target for each in given])
    found: dict[str, _Known] = {}
    for each in given:
        beside = await _beside(connection, each, targets[each.target], live.get(each.target, []))
        if beside is not None:
            found[each.target] = _Known(dict(each.payload), *beside)
    starting = [each for each in given if each.target not in found]
    for each, run in zip(starting, await _create(connection, starting, targets), strict=True):
        found[each.target] = _Known(dict(each.payload), "run", run)
    started = [(each, found[each.target]) for each in given]
    await _keep(connection, started)
    return started


async def _keep(connection: AsyncConnection, started: Sequence[tuple[Trigger, _Known]]) -> None:
    """Keep the triggers, so that none of them starts anything again."""
    if not started:
        return
    rows = [{"target": each.target, "key": each.key, "source": each.source, **asdict(known)} for each, known in started]
    await connection.execute(sa.insert(TRIGGER), rows)
    await audit(
        connection,
        [
            {
                "who": each.who,
                "what": f"triggered ({known.outcome})",
                "subject": each.target if known.run is None else f"run {known.run}",
                "reason": f"{each.source} {each.key}",
            }
            for each, known in started
        ],
    )


async def _live(connection: AsyncConnection, names: Sequence[str]) -> dict[str, list[Any]]:
    """The live runs of tasks and groups, each's oldest first.

    Those of a backfill count only if it is their turn, and those that wait in a group only while that is under way: in
    one that failed they may wait for ever.
    """
    parent = RUN.alias("parent")
    under_way = sa.exists().where(parent.c.id == RUN.c.parent, parent.c.active)
    waits = sa.and_(sa.not_(RUN.c.backfill), sa.or_(RUN.c.parent.is_(None), under_way))
    wanted = sa.select(RUN).where(RUN.c.task.in_(names), IS_LIVE, sa.or_(RUN.c.active, waits)).order_by(RUN.c.id)
    found: dict[str, list[Any]] = {}
    for row in await connection.execute(wanted):
        found.setdefault(row.task, []).append(row)
    return found


async def _beside(
    connection: AsyncConnection, given: Trigger, target: Task | Group, under_way: Sequence[Any]
) -> tuple[Outcome, int | None] | None:
    """What comes of a trigger while others of its target are live; None if it starts a run.

    With ``queue``, a trigger joins a run that waits and does the same, and is queued otherwise, so that nothing is lost
    that its payload asks for. Ticks differ by their time, and only the newest ones are wanted: as many as the calendar
    makes up for. Runs of a backfill give way: no trigger is skipped for them, joins or cancels one.

    A run is joined without a lock. A node that takes it meanwhile raises its fence after the statement that found it
    with none, and calls its consumer after that: so the call, too, comes after the trigger.
    """
    live = [row for row in under_way if not row.backfill]
    if not live:
        return None
    if target.overlap == "skip":
        return "skipped", None
    if target.overlap == "cancel":
        await _overtake(connection, given, live)
        return None
    if given.source == CALENDAR:
        behind = live if any(row.active for row in under_way) else live[1:]  # the first one begins at once
        ticks = [row for row in behind if not row.active and _unbegun(row) and row.key.startswith(f"{CALENDAR} ")]
        await _overtake(connection, given, ticks[: max(0, len(ticks) + 1 - target.catch_up)])
        return None
    same = [row.id for row in live if _unbegun(row) and _same(row, given)]
    return ("joined", same[0]) if same else None


def _unbegun(row: Any) -> bool:
    """Whether a run of its own was never begun: of a task that was not called, or of a group whose turn it is not."""
    begun = row.fence if row.mode is None else row.active
    return row.parent is None and not row.since and not begun


def _same(row: Any, given: Trigger) -> bool:
    """Whether a run does what a trigger asks for."""
    files = None if given.files is None else list(given.files)
    return row.files == files and exact(row.payload) == exact(given.payload)


async def _overtake(connection: AsyncConnection, given: Trigger, rows: Sequence[Any]) -> None:
    """Cancel what a trigger makes needless."""
    for row in rows:
        held = await hold(connection, row.id)
        if held and held.state in LIVE:
            done = Move(Event.CANCELLED, given.who, f"overtaken by the trigger {given.key}")
            await end(connection, held, done, LIVE)


async def _create(
    connection: AsyncConnection, given: Sequence[Trigger], targets: Mapping[str, Task | Group]
) -> list[int]:
    """Create runs, and those of the tasks of groups; return the numbers of the former."""
    if not given:
        return []
    rows = [_row(each, targets[each.target]) for each in given]
    statement = sa.insert(RUN).returning(RUN.c.id, sort_by_parameter_order=True)
    numbers = list((await connection.execute(statement, rows)).scalars())
    children = [
        {
            "task": task,
            "key": f"{each.target}/{each.key}",
            "parent": run,
            "position": at,
            "payload": dict(each.payload),
            "backfill": each.backfill,
        }
        for each, run in zip(given, numbers, strict=True)
        for at, task in enumerate(_tasks(targets[each.target]))
    ]
    if children:
        await connection.execute(sa.insert(RUN), children)
    return numbers


def _row(given: Trigger, target: Task | Group) -> dict[str, object]:
    files = None if given.files is None else list(given.files)
    mode = target.mode if isinstance(target, Group) else None
    of_trigger = {"task": given.target, "key": given.key, "payload": dict(given.payload), "backfill": given.backfill}
    return {**of_trigger, "mode": mode, "files": files}


def _tasks(target: Task | Group) -> tuple[str, ...]:
    return target.tasks if isinstance(target, Group) else ()
