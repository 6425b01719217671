"""Why a task does not run: what users of schedulers ask first, in one sentence for each cause. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from snk.batch.state import UNSETTLED
from snk.core.words import counted


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that has not ended.

    Attributes:
        blocked_by: the run of the same task that is active; None if it is active itself.
        waits_for: the run of its group that comes before it and is not complete; None if there is none.
        consumer: the instance that was called last.
        last: what came of that call.
        waiting: name and reason of each file that its consumer has not begun: its precondition is not met.
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


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a task at one moment.

    Attributes:
        now: by the clock of the database.
        paused_by: who paused it; None if it is not paused.
        message: what starts it.
        nodes: how many nodes are alive.
        run: its live run that is active, or the oldest one; None if there is none.
        ended: number, state and reason of its last run that has ended.
    """

    name: str
    now: datetime
    paused_by: str | None
    paused_note: str
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
    if facts.paused_by:
        note = f": {facts.paused_note}" if facts.paused_note else ""
        yield f"{facts.paused_by} has paused it{note}; `snk batch resume {facts.name}` takes that back"
    if not facts.nodes:
        yield "no node is alive; start one with `snk batch platform`"
    if run is None:
        yield from _without_run(facts)
    elif not run.active:
        yield from _not_its_turn(run)
    elif run.due_at and run.due_at > facts.now:
        seconds = round((run.due_at - facts.now).total_seconds(), 1)
        if run.tries:
            failed = f"{counted(run.tries, 'call')} in a row failed ({run.consumer}: {run.last})"
            yield f"run {run.id}: {failed}; the next one follows in {seconds} s"
        else:
            yield f"run {run.id} waits for its interval; the next call follows in {seconds} s"
    if run:
        for file, reason in run.waiting:
            yield f"run {run.id}: its consumer has not begun file {file!r}: {reason}"


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
