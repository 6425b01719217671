"""What Redis counts and what the database holds of one task, how the two differ, and what repairs it. Pure.

An assignment is counted in Redis first and written to the database second, so a lost write leaves a counter that is
ahead of the rows: rows are missing. A counter that was lost, evicted or taken back by a failover is behind the rows:
it is raised. Nothing is ever deleted or lowered, so every repair only adds, and repairing twice changes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

MOST = 2**63 - 1
"""The greatest value of a counter: Redis refuses to increment beyond it."""

Method = Literal["single", "multiple"]
Part = Literal["pointer", "sources", "workers"]
"""What is confirmed at once: a task's pointer, or in multiple assignment the counts of sources and of workers."""
Kind = Literal["missing", "behind", "absent", "duplicate", "too_many", "too_far"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A counter whose value is not a count.

    Attributes:
        why: what it is instead.
    """

    why: str


Counter = int | Unreadable | None
"""The value of a counter in Redis; None if there is no such key."""


@dataclass(frozen=True, slots=True)
class InsertRows:
    """Insert rows of one source, so that it can be assigned again, or counts for the worker who has it.

    Attributes:
        rows: how many.
        before: how many rows of that source there were when the plan was made.
        key: the counter that says that they are missing.
        counted: its value when the plan was made.
    """

    task: int
    source: int
    worker: int
    rows: int
    before: int
    key: str
    counted: int

    @property
    def as_json(self) -> dict[str, Any]:
        """As `snk.core.plan.Action` says."""
        place = {"task": self.task, "source": self.source, "worker": self.worker}
        counter = {"key": self.key, "counted": self.counted}
        return {"action": "insert", **place, "rows": self.rows, "before": self.before, **counter}

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        return f"insert {rows}: task {self.task}, source {self.source}, worker {self.worker}"


@dataclass(frozen=True, slots=True)
class RaiseCounter:
    """Set a counter to a greater value, or create it.

    Attributes:
        before: its value when the plan was made; None if there was no such key.
    """

    key: str
    before: int | None
    after: int

    @property
    def as_json(self) -> dict[str, Any]:
        """As `snk.core.plan.Action` says."""
        return {"action": "set", "key": self.key, "before": self.before, "after": self.after}

    def __str__(self) -> str:
        return f"{self.key} : {'absent' if self.before is None else self.before} -> {self.after}"


Repair = InsertRows | RaiseCounter


def repair_of(given: dict[str, Any]) -> Repair:
    """Restore one action from its JSON form.

    Raises:
        ValueError: it is no action of this kind.
    """
    if given.get("action") not in ("insert", "set"):
        raise ValueError(f"it holds the unknown action {given.get('action')!r}")
    form = InsertRows if given["action"] == "insert" else RaiseCounter
    return form(**{name: value for name, value in given.items() if name != "action"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the two sides differ.

    Attributes:
        redis: what the counter says; None if there is none.
        database: what the rows say: how many there are of the source, or the greatest source of the worker.
        actions: what repairs it; without any, the difference stays until a person settles it.
    """

    kind: Kind
    part: Part
    task: int
    key: str
    redis: int | None
    database: int
    source: int | None = None
    worker: int | None = None
    actions: tuple[Repair, ...] = ()


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of one task's counters. In those of sources and workers, a NUL stands for the number."""

    pointer: str = ""
    source: str = ""
    worker: str = ""

    def of_source(self, source: int) -> str:
        """The key that counts how often a source was assigned."""
        return self.source.replace("\0", str(source))

    def of_sources(self, sources: Iterable[int]) -> list[str]:
        """The keys of many sources."""
        head, tail = self.source.split("\0")
        return [f"{head}{source}{tail}" for source in sources]

    def of_workers(self, workers: Iterable[int]) -> list[str]:
        """The keys of many workers."""
        head, tail = self.worker.split("\0")
        return [f"{head}{worker}{tail}" for worker in workers]

    def of_worker(self, worker: int) -> str:
        """The key that holds the greatest source that a worker got."""
        return self.worker.replace("\0", str(worker))


@dataclass(frozen=True, slots=True)
class Task:
    """Both sides of one task.

    Attributes:
        rows: how many rows each source has in the database.
        pointer: single assignment: how many sources were handed out.
        counts: multiple assignment: how often each source was assigned, for those where Redis does not say what
            ``rows`` says.
        last: the greatest source among each worker's rows.
        greatest: the greatest source that was given to each worker, as Redis says, for those where it is not ``last``.
    """

    id: int
    keys: Keys
    rows: Mapping[int, int]
    pointer: Counter = None
    counts: Mapping[int, Counter] = field(default_factory=dict)
    last: Mapping[int, int] = field(default_factory=dict)
    greatest: Mapping[int, Counter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a repair may do.

    Attributes:
        unassigned: the worker of a row that can be assigned again.
        most_rows: how many rows may be inserted for one task, and how far beyond all known sources a source may be: a
            damaged counter could ask for billions.
    """

    unassigned: int = -1
    most_rows: int = 1_000_000


def differences(task: Task, method: Method, limits: Limits) -> list[Difference]:
    """Everything in which the two sides of a task differ.

    The workers' part is as it will be when the sources' part was applied.
    """
    if method == "single":
        return list(_of_pointer(task, limits))
    sources = list(of_sources(task, limits))
    return [*sources, *of_workers(after(task, sources) if sources else task, limits)]


def _of_pointer(task: Task, limits: Limits) -> Iterator[Difference]:
    """Single assignment: the sources from 1 to the pointer were handed out, each to one worker."""
    key, pointer = task.keys.pointer, task.pointer
    told = pointer if isinstance(pointer, int) else None
    for source, count in sorted(task.rows.items()):
        if count > 1:
            yield Difference("duplicate", "pointer", task.id, key, told, count, source)
    handed_out = [source for source in task.rows if source > 0]
    if isinstance(pointer, Unreadable) or (pointer is None and not handed_out):
        return  # without a pointer, nobody knows what is missing; without rows, nothing was handed out
    target = max(pointer or 0, max(handed_out, default=0))
    missing = target - len(handed_out)
    if missing > limits.most_rows:
        yield Difference("too_many", "pointer", task.id, key, told, len(handed_out))
    elif missing:
        for source in range(1, target + 1):
            if source not in task.rows:
                insert = InsertRows(task.id, source, limits.unassigned, 1, 0, key, pointer or 0)
                yield Difference("missing", "pointer", task.id, key, told, 0, source, actions=(insert,))
    if pointer is None or pointer < target:
        yield _behind("pointer", task.id, key, pointer, target)


def of_sources(task: Task, limits: Limits) -> Iterator[Difference]:
    """Multiple assignment: each source has as many rows as it was assigned."""
    room = limits.most_rows
    for source, count in sorted(task.counts.items()):
        key, held = task.keys.of_source(source), task.rows.get(source, 0)
        if isinstance(count, Unreadable) or (count or 0) == held == 0:
            continue
        if count is None or count < held:
            yield _behind("sources", task.id, key, count, held, source=source)
        elif count - held > room:
            yield Difference("too_many", "sources", task.id, key, count, held, source)
        elif count > held:
            insert = InsertRows(task.id, source, limits.unassigned, count - held, held, key, count)
            room -= insert.rows
            yield Difference("missing", "sources", task.id, key, count, held, source, actions=(insert,))


def of_workers(task: Task, limits: Limits) -> Iterator[Difference]:
    """Multiple assignment: each worker has a row of the greatest source that it was given, unless it went to others.

    A source whose rows are as many as its counter says lacks no row: what the worker lost is there to be assigned
    again (see `complete`), and nothing differs.
    """
    rows: dict[int, int] = {}
    farthest = _greatest_source(task) + limits.most_rows if task.greatest else 0
    for worker, greatest in sorted(task.greatest.items()):
        key, held = task.keys.of_worker(worker), task.last.get(worker)
        if worker == limits.unassigned or isinstance(greatest, Unreadable):
            continue
        if held is not None and (greatest is None or greatest < held):
            yield _behind("workers", task.id, key, greatest, held, worker=worker)
        elif greatest and greatest > (held or 0):
            before = rows.get(greatest, task.rows.get(greatest, 0))
            if complete(task, greatest, before):
                continue
            if greatest > farthest:
                yield Difference("too_far", "workers", task.id, key, greatest, held or 0, greatest, worker)
                continue
            rows[greatest] = before + 1
            insert = InsertRows(task.id, greatest, worker, 1, before, key, greatest)
            yield Difference("missing", "workers", task.id, key, greatest, held or 0, greatest, worker, (insert,))
    for source, count in sorted(rows.items()):
        counted = _counted(task, source)
        if counted is None or counted < count:
            yield _behind("workers", task.id, task.keys.of_source(source), counted, count, source=source)


def _greatest_source(task: Task) -> int:
    """The greatest source that has rows or was counted."""
    counted = (source for source, count in task.counts.items() if count)
    return max(max(task.rows, default=0), max(counted, default=0))


def skipped(task: Task, limits: Limits) -> list[int]:
    """The workers whose counter is ahead of their rows although nothing is missing: the source is complete."""
    return [
        worker
        for worker, greatest in sorted(task.greatest.items())
        if worker != limits.unassigned and isinstance(greatest, int) and greatest > task.last.get(worker, 0)
        if complete(task, greatest, task.rows.get(greatest, 0))
    ]


def complete(task: Task, source: int, rows: int) -> bool:
    """Whether a source with so many rows lacks none.

    A source that was never counted has lost its counter, and each worker's counter shows one assignment. Whether a
    source lacks rows is unknown if its counter is unreadable; then none is inserted.
    """
    counted = task.counts.get(source, task.rows.get(source))
    if isinstance(counted, Unreadable):
        return True
    if not counted and not task.rows.get(source):
        return False
    return rows >= (counted or 0)


def settled(task: Task, method: Method, rows: Mapping[int, int], last: Mapping[int, int]) -> Task:
    """The task after a later look at the database, in which all that Redis had counted must have arrived.

    Rows that came after the counters were read say nothing about these counters: they are left out.

    Args:
        task: both sides, the database having been read first.
        method: how its sources are assigned.
        rows: the rows of each source at the later look.
        last: the greatest source of each worker at the later look.
    """
    if method == "multiple":
        arrived = _arrived(task.counts, task.rows, rows), _arrived(task.greatest, task.last, last)
        return replace(task, rows={**task.rows, **arrived[0]}, last={**task.last, **arrived[1]})
    pointer = task.pointer if isinstance(task.pointer, int) else 0
    reach = max(pointer, max(task.rows, default=0))
    return replace(task, rows={source: count for source, count in rows.items() if source <= reach})


def _arrived(counters: Mapping[int, Counter], before: Mapping[int, int], now: Mapping[int, int]) -> dict[int, int]:
    return {
        number: min(counter, now.get(number, 0))
        for number, counter in counters.items()
        if isinstance(counter, int) and counter > before.get(number, 0)
    }


def after(task: Task, settled: list[Difference]) -> Task:
    """The task as it will be when the actions of these differences were applied."""
    rows, last = dict(task.rows), dict(task.last)
    raised: dict[str, int] = {}
    for action in (action for difference in settled for action in difference.actions):
        if isinstance(action, RaiseCounter):
            raised[action.key] = action.after
        else:
            rows[action.source] = rows.get(action.source, 0) + action.rows
            last[action.worker] = max(last.get(action.worker, 0), action.source)
    keys = task.keys
    counts = {source: raised.get(keys.of_source(source), value) for source, value in task.counts.items()}
    counts |= {source: raised[key] for source in rows if (key := keys.of_source(source)) in raised}
    greatest = {worker: raised.get(keys.of_worker(worker), value) for worker, value in task.greatest.items()}
    return Task(task.id, keys, rows, raised.get(keys.pointer, task.pointer), counts, last, greatest)


def _counted(task: Task, source: int) -> int | None:
    counted = task.counts.get(source, task.rows.get(source))
    return None if isinstance(counted, Unreadable) else counted


def _behind(
    part: Part,
    task: int,
    key: str,
    before: int | None,
    target: int,
    *,
    source: int | None = None,
    worker: int | None = None,
) -> Difference:
    kind: Kind = "absent" if before is None else "behind"
    return Difference(kind, part, task, key, before, target, source, worker, (RaiseCounter(key, before, target),))
