"""Reads the counters of one task, and keeps those that do not say what the rows say: equal ones take no room."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from snk.resync.counters import Counters
from snk.resync.database import Holding
from snk.resync.mapping import Mapping as Names
from snk.resync.model import Counter, Keys, Task, Unreadable

Kind = Literal["source", "worker"]
KINDS: tuple[Kind, ...] = ("source", "worker")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Reading:
    """Both sides of one task.

    Attributes:
        unreadable: the keys whose names or values are no numbers, and why.
        expiring: the counters that have a time to live, with its seconds.
    """

    task: Task
    unreadable: Mapping[str, str]
    expiring: Mapping[str, int]


class Scan:
    """The names of the counters of sources and workers in Redis: those that only Redis knows are found here."""

    def __init__(self, found: set[str], names: Names) -> None:
        self._found = found
        self._names = names
        self._sorted: dict[tuple[Kind, int], set[str]] | None = None

    def leave_out(self, known: Iterable[str]) -> None:
        """Forget names that the database knows, before those of all others are looked at."""
        if self._sorted is None:
            self._found.difference_update(known)

    def unknown(self, kind: Kind, task: int, known: Iterable[str]) -> set[str]:
        """The keys of a task that belong to no source or worker in the database."""
        if self._sorted is None:
            self._sorted = self._by_task()
        return self._sorted.get((kind, task), set()).difference(known)

    def _by_task(self) -> dict[tuple[Kind, int], set[str]]:
        """The names by kind and task; a key that is no counter is left out."""
        parsers = self._names.parsers
        by_task: dict[tuple[Kind, int], set[str]] = {}
        for key in self._found:
            for kind in KINDS:
                if match := parsers[kind].fullmatch(key):
                    by_task.setdefault((kind, int(match["task"])), set()).add(key)
                    break
        return by_task


class Expected:
    """One task of multiple assignment: its counters, by their keys, and what the rows say that they hold."""

    def __init__(self, holding: Holding, keys: Keys) -> None:
        self.holding = holding
        self.keys = keys
        self.sources = dict(zip(keys.of_sources(holding.rows), holding.rows, strict=True))
        self.workers = dict(zip(keys.of_workers(holding.last), holding.last, strict=True))

    async def read(self, counters: Counters, names: Names, scan: Scan) -> Reading:
        """Read the counters."""
        holding = self.holding
        expected = dict(zip(self.sources, holding.rows.values(), strict=True))
        expected.update(zip(self.workers, holding.last.values(), strict=True))
        unnamed = {
            **self._take_up("source", scan.unknown("source", holding.task, self.sources), names),
            **self._take_up("worker", scan.unknown("worker", holding.task, self.workers), names),
        }
        strangers = (key for known in (self.sources, self.workers) for key in known if key not in expected)
        expected.update(dict.fromkeys(strangers, 0))
        found = await counters.unlike(expected)
        task = Task(
            holding.task,
            self.keys,
            holding.rows,
            counts={self.sources[key]: value for key, value in found.items() if key in self.sources},
            last=holding.last,
            greatest={self.workers[key]: value for key, value in found.items() if key in self.workers},
        )
        return Reading(task, unnamed | unreadable(found), await counters.expiring(list(expected)))

    def _take_up(self, kind: Kind, unknown: set[str], names: Names) -> dict[str, str]:
        """Add the counters that only Redis knows; return those whose names end in no number."""
        known = self.sources if kind == "source" else self.workers
        unnamed: dict[str, str] = {}
        for key in sorted(unknown):
            match = names.parsers[kind].fullmatch(key)
            number = match["number"] if match else ""
            if _NUMBER.fullmatch(number):
                known[key] = int(number)
            elif kind == "source" or number != str(names.row.unassigned):
                unnamed[key] = f"{number!r} is not the number of a {kind}"
        return unnamed


async def read_pointer(holding: Holding, keys: Keys, counters: Counters) -> Reading:
    """Read the pointer of one task of single assignment."""
    found = await counters.values([keys.pointer])
    task = Task(holding.task, keys, holding.rows, pointer=found[keys.pointer])
    return Reading(task, unreadable(found), await counters.expiring([keys.pointer]))


def unreadable(found: Mapping[str, Counter]) -> dict[str, str]:
    """The keys whose values are no counts, and why."""
    return {key: value.why for key, value in found.items() if isinstance(value, Unreadable)}
