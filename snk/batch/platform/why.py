"""Why a task does not run: what users of schedulers ask first, in one sentence for each cause. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from snk.batch.state import UNSETTLED
from snk.core.moments import stamp
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
        files: name, state and reason of each file that has not ended, and of which its consumer says why.
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
    files: Sequence[tuple[str, str, str]] = ()
    tasks: Sequence[tuple[int, str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended.

    Attributes:
        at: when.
    """

    id: int
    state: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a task at one moment.

    Attributes:
        now: by the clock of the database.
        pauses: of it, and of the group that its run belongs to.
        message: what starts it.
        nodes: how many nodes are alive.
        run: its live run that is active, or the oldest one; None if there is none.
        ended: its last run that has ended; None if there is none.
    """

    name: str
    now: datetime
    pauses: Sequence[Pause]
    message: str
    next_tick: datetime | None
    nodes: int
    run: LiveRun | None
    ended: Ended | None


def told(facts: Facts) -> dict[str, object]:
    """The answer, as JSON has it: with the number of the live run, and whether all is well."""
    run = facts.run.id if facts.run else None
    return {"name": facts.name, "run": run, "well": well(facts), "reasons": list(reasons(facts))}


def well(facts: Facts) -> bool:
    """Whether a node works on it just now and no file waits, or it is idle after a run that did not fail."""
    if facts.run:
        return not any(reasons(facts))
    return bool(facts.nodes) and not facts.pauses and not _failed(facts)


def reasons(facts: Facts) -> Iterator[str]:
    """Why it does not run, the strongest reason first; nothing if a node works on it just now and no file waits."""
    run = facts.run
    if run and run.node:
        yield from _of_files(run)
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
    yield from _of_files(run)
    if not run.active:
        yield from _not_its_turn(run)
    else:
        yield from _in_turn(run, facts)


def _of_files(run: LiveRun) -> Iterator[str]:
    for file, state, reason in run.files:
        yield f"run {run.id}: file {file} is {state}: {reason}"


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


def _failed(facts: Facts) -> bool:
    """Whether its last run is one that a person should see to."""
    return facts.ended is not None and facts.ended.state in UNSETTLED


def _without_run(facts: Facts) -> Iterator[str]:
    last = facts.ended
    starts = []
    if facts.next_tick:
        starts.append(f"its calendar, at {stamp(facts.next_tick)}")
    if facts.message:
        starts.append(f"the message {facts.message!r}")
    starts.append(f"`snk batch trigger {facts.name}`")
    started = f"it is started by {', or '.join(starts)}"
    if last is None:
        yield f"nothing has triggered it yet; {started}"
        return
    since = f"run {last.id}, is {last.state} since {stamp(last.at)}"
    if _failed(facts):
        reason = f": {last.reason}" if last.reason else ""
        yield f"its last run, {since}{reason}; `snk batch rerun {last.id}` runs what failed again"
        yield f"no run is under way; {started}"
    else:
        yield f"no run is under way; the last one, {since}; {started}"


def _not_its_turn(run: LiveRun) -> Iterator[str]:
    if run.blocked_by is not None:
        yield f"run {run.id} is queued behind run {run.blocked_by}"
    if run.waits_for is not None:
        before, state = run.waits_for
        yield f"run {run.id} belongs to run {run.parent} of a group, where run {before} comes first, which is {state}"
    if run.blocked_by is None and run.waits_for is None:
        yield f"it is the turn of run {run.id}, which the next look of a node will find"
