"""What a person reads, and what a program reads, about a check and a re-sync."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar, assert_never

from snk.core.plan import Plan
from snk.core.words import counted
from snk.resync.check import Checked
from snk.resync.database import Holding
from snk.resync.model import Difference, InsertRows, Part, RaiseCounter, Repair
from snk.resync.run import Round

T = TypeVar("T")
PROMPTS: dict[Part, str] = {"pointer": "sync?", "sources": "sync cnt?", "workers": "sync mx?"}
SHOWN = 20
"""Differences that a person sees at once; all of them are in the JSON form."""
MOST_LINES = 100
"""Actions that a person sees at once."""


def as_json(checked: Checked) -> dict[str, Any]:
    """A check as one JSON object."""
    held = checked.held
    return {
        "project": held.project,
        "method": held.method,
        "tasks": [holding.task for holding in held.tasks],
        "equal": checked.equal,
        "differences": [_difference(each) for each in checked.differences],
        "unreadable": sorted(checked.unreadable),
        "unreadable_because": dict(sorted(checked.unreadable.items())),
        "expiring": dict(sorted(checked.expiring.items())),
        "skipped_workers": {str(task): workers for task, workers in checked.skipped.items()},
        "in_process": list(held.in_process),
        "statistics": [
            {
                "task": holding.task,
                "sources": len(holding.rows),
                "rows": sum(holding.states.values()),
                "states": holding.states,
                "rows_without_source": holding.sourceless,
            }
            for holding in held.tasks
        ],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    numbers = {"source": difference.source, "worker": difference.worker}
    first = difference.actions[0] if difference.actions else None
    return {
        "kind": difference.kind,
        "task": difference.task,
        "key": difference.key,
        **{name: number for name, number in numbers.items() if number is not None},
        "redis": difference.redis,
        "database": difference.database,
        "action": first.as_json["action"] if first else "none",
        "explanation": explained(difference),
        "actions": [action.as_json for action in difference.actions],
    }


def explained(difference: Difference) -> str:
    """One difference, as a person reads it."""
    key, redis, database, source = difference.key, difference.redis, difference.database, difference.source
    match difference.kind:
        case "duplicate":
            return f"source {source} of task {difference.task} has {_rows(database)}; a person must settle it"
        case "too_many":
            where = "" if source is None else f" of source {source}"
            why = "more are missing than resync.most_rows allows, so none is inserted"
            return f"{key} is {redis}, and there are {_rows(database)}{where}: {why}"
        case "too_far":
            return f"{key} is {redis}, far beyond every source that is known: no row is inserted"
        case "absent":
            return f"{key} does not exist; the database says {database}"
        case "behind":
            return f"{key} is {redis}; the database says {database}"
        case "missing":
            return f"{key} is {redis}; {_missing(difference)}"
    assert_never(difference.kind)


def _missing(difference: Difference) -> str:
    if difference.worker is not None:
        last = f"the greatest source of worker {difference.worker} is {difference.database}"
        return last if difference.database else f"worker {difference.worker} has no rows"
    return f"source {difference.source} has {_rows(difference.database)}"


def _rows(count: int) -> str:
    return counted(count, "row") if count else "no rows"


def lines(checked: Checked) -> Iterator[str]:
    """A check, as a person reads it."""
    held = checked.held
    yield f"project {held.project}: {held.method} assignment, {counted(len(held.tasks), 'task')}"
    for holding in held.tasks:
        yield f"  task {holding.task}: {counted(len(holding.rows), 'source')}; rows by state: {_states(holding)}"
        if holding.sourceless:
            yield f"    {counted(holding.sourceless, 'row')} without a source: left out"
    for difference in checked.differences[:SHOWN]:
        yield f"  {explained(difference)}"
    if (more := len(checked.differences) - SHOWN) > 0:
        yield f"  and {more:,} more differences; --json shows all"
    for key, why in sorted(checked.unreadable.items())[:SHOWN]:
        yield f"  {key} is unreadable: {why}; it is left as it is"
    yield from _notes(checked)
    yield f"  {conclusion(checked)}"


def _notes(checked: Checked) -> Iterator[str]:
    if checked.uncounted:
        yield "  NOT ONE counter of this project exists: does resync.redis name the right database, and key_prefix fit?"
    if checked.expiring:
        key, left = min(checked.expiring.items(), key=lambda each: each[1])
        count = counted(len(checked.expiring), "counter")
        yield f"  {count} with a time to live, such as {key} ({left} s left): when it ends, the counter is lost"
    for task, workers in checked.skipped.items():
        named = ", ".join(map(str, workers[:SHOWN]))
        yield f"  task {task}: the source given last to worker {named} is complete, so no row is missing"
    if checked.held.in_process:
        yield f"  in process ({', '.join(checked.held.in_process)}): writing needs --while-live"


@dataclass(frozen=True, slots=True)
class TaskRows:
    """The rows of a task, counted."""

    task: int
    sources: int
    rows: int
    states: str
    sourceless: int


@dataclass(frozen=True, slots=True)
class Some(Generic[T]):
    """The first of many.

    Attributes:
        all: how many there are.
    """

    shown: tuple[T, ...]
    all: int

    @property
    def more(self) -> int:
        """How many are not shown."""
        return self.all - len(self.shown)


@dataclass(frozen=True, slots=True)
class Details:
    """What a check found, one by one, as far as it is shown.

    Attributes:
        actions: what repairs the differences, in words.
        unreadable: counters that are no counts, and why.
        notes: what else a person should know.
        totals: what all actions amount to; empty if there is none.
    """

    differences: Some[Difference]
    actions: Some[str]
    unreadable: Some[tuple[str, str]]
    notes: tuple[str, ...]
    totals: str
    tasks: Some[TaskRows]


def details_of(checked: Checked, most: int) -> Details:
    """The details of a check: so many of each at most."""
    actions, tasks = checked.actions(), checked.held.tasks
    return Details(
        Some(checked.differences[:most], len(checked.differences)),
        Some(tuple(map(str, actions[:most])), len(actions)),
        Some(tuple(sorted(checked.unreadable.items())[:most]), len(checked.unreadable)),
        tuple(note.strip() for note in islice(_notes(checked), most)),
        totals(actions) if actions else "",
        Some(tuple(map(_task_rows, tasks[:most])), len(tasks)),
    )


def _task_rows(held: Holding) -> TaskRows:
    return TaskRows(held.task, len(held.rows), sum(held.states.values()), _states(held), held.sourceless)


def _states(held: Holding) -> str:
    return ", ".join(f"{state} {rows:,}" for state, rows in held.states.items()) or "none"


def conclusion(checked: Checked) -> str:
    """The result of a check in one line, and what a synchronisation would do."""
    if checked.equal:
        return "equal"
    found = f"{counted(len(checked.differences), 'difference')}, {len(checked.unreadable):,} unreadable"
    actions = checked.actions()
    return f"DIFFERENT: {found}; " + (f"to synchronise: {totals(actions)}" if actions else "a person must settle them")


def totals(actions: Sequence[Repair]) -> str:
    """What actions amount to."""
    rows = sum(action.rows for action in actions if isinstance(action, InsertRows))
    counters = sum(isinstance(action, RaiseCounter) for action in actions)
    return f"insert {counted(rows, 'row')}, set {counted(counters, 'counter')}"


def details(plan: Plan[Repair]) -> Iterator[str]:
    """The actions of a plan."""
    yield from some(f"  {action}" for action in plan.actions)
    yield f"  {totals(plan.actions)}"


def some(told: Iterable[str]) -> Iterator[str]:
    """The first lines, and how many more there are."""
    left = iter(told)
    yield from islice(left, MOST_LINES)
    if more := sum(1 for _ in left):
        yield f"  and {more:,} more; --json shows all"


def done(plan: Plan[Repair], overtaken: Sequence[Repair]) -> Iterator[str]:
    """What became of a plan."""
    left = set(overtaken)
    yield from some(
        f"  {action}" if action not in left else f"  OVERTAKEN, nothing written: {action}" for action in plan.actions
    )
    yield f"  done: {totals([action for action in plan.actions if action not in left])}"
    if left:
        yield f"  {counted(len(left), 'action')} overtaken: what it would change had moved"


def applied_as_json(applied: Round) -> dict[str, Any]:
    """What became of a plan, as one JSON object."""
    plan, left = applied.plan, set(applied.overtaken)
    return {
        "plan": plan.id,
        "actions": [
            {**action.as_json, "outcome": "overtaken" if action in left else "done"} for action in plan.actions
        ],
    }
