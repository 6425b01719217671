"""Why a task does not run: what users of schedulers ask first, in one sentence for each cause. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from snk.batch.state import UNSETTLED
from snk.core.words import counted

MOST_TASKS = 10
"""Of a group, so many are named."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of a task or a group."""

    name: str
    who: str
    note: str


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that has not ended.

    Attributes:
        node: which calls its consumer just now; None if that one is dead.
        blocked_by: the run of the same task that is active; None if it is active itself.
        waits_for: the run of its group that comes before it and is not complete; None if there is none.
        consumer: the instance that was called last.
        last: what came of that call.
        waiting: name and reason of each file that its consumer has not begun: its precondition is not met.
        tasks: if it is that of a group, number, task and state of those in it that have not ended; otherwise None.
    """

    id: int
    state: str
    active: bool
    blocked_by: int | None
    parent: int | None
    waits_for: tuple[int, str] | None
    node: str | None
    due_at: datetime | None
    tries: int
    consumer: str | None
    last: str | None
    waiting: Sequence[tuple[str, str]] = ()
    tasks: Sequence[tuple[int, str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a task at one moment.

    Attributes:
        now: by the clock of the database.
        pauses: of it, and of the group that its run belongs to.
        message: what starts it.
        nodes: how many nodes are alive.
        run: its live run that is active, or the oldest one; None if there is none.
        ended: number, state and reason of its last run that has ended.
    """

    name: str
    now: datetime
    pauses: Sequence[Pause]
    message: str
    next_tick: datetime | None
    nodes: int
    run: LiveRun | None
    ended: tuple[int, str, str] | None


def reasons(facts: Facts) -> Iterator[str]:
    """Why it does not run, the strongest reason first; nothing if a node works on it just now."""
    run = facts.run
    if run and run.node:
        return
    for pause in facts.pauses:
        what = "it" if pause.name == facts.name else f"the group {pause.name}, which its run belongs to"
        note = f": {pause.note}" if pause.note else ""
        yield f"{pause.who} has paused {what}{note}; `snk batch resume {pause.name}` takes that back"
    if not facts.nodes:
        yield "no node is alive; start one with `snk batch platform`"
    if run is None:
        yield from _without_run(facts)
        return
    if not run.active:
        yield from _not_its_turn(run)
    else:
        yield from _in_turn(run, facts)
    for file, reason in run.waiting:
        yield f"run {run.id}: its consumer has not begun file {file!r}: {reason}"


def _in_turn(run: LiveRun, facts: Facts) -> Iterator[str]:
    if run.tasks is not None:
        yield _of_group(run.id, run.tasks)
    elif run.due_at and run.due_at > facts.now:
        yield _not_due(run, round((run.due_at - facts.now).total_seconds(), 1))
    elif facts.nodes and not facts.pauses:
        yield f"run {run.id} is due, and no node has taken it yet"


def _not_due(run: LiveRun, seconds: float) -> str:
    if not run.tries:
        return f"run {run.id} waits for its interval; the next call follows in {seconds} s"
    failed = f"{counted(run.tries, 'call')} in a row failed ({run.consumer}: {run.last})"
    return f"run {run.id}: {failed}; the next one follows in {seconds} s"


def _of_group(run: int, tasks: Sequence[tuple[int, str, str]]) -> str:
    if not tasks:
        return f"all tasks of run {run} have ended, which the next look of a node will find"
    shown = [f"run {child} of {task} is {state}" for child, task, state in tasks[:MOST_TASKS]]
    more = [f"and {len(tasks) - MOST_TASKS} more"] if len(tasks) > MOST_TASKS else []
    return f"run {run} is that of a group, whose tasks run: {', '.join([*shown, *more])}"


def _without_run(facts: Facts) -> Iterator[str]:
    if facts.ended and facts.ended[1] in UNSETTLED:
        run, state, reason = facts.ended
        yield f"its last run {run} is {state}: {reason}; `snk batch rerun {run}` runs what failed again"
    starts = []
    if facts.next_tick:
        starts.append(f"its calendar, at {facts.next_tick.isoformat(timespec='seconds')}")
    if facts.message:
        starts.append(f"the message {facts.message!r}")
    starts.append(f"`snk batch trigger {facts.name}`")
    yield f"nothing has triggered it; it is started by {', or '.join(starts)}"


def _not_its_turn(run: LiveRun) -> Iterator[str]:
    if run.blocked_by is not None:
        yield f"run {run.id} is queued behind run {run.blocked_by}"
    if run.waits_for is not None:
        before, state = run.waits_for
        yield f"run {run.id} belongs to run {run.parent} of a group, where run {before} comes first, which is {state}"
    if run.blocked_by is None and run.waits_for is None:
        yield f"it is the turn of run {run.id}, which the next look of a node will find"
