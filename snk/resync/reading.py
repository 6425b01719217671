"""Reads the counters of one task, and keeps those that do not say what the rows say: equal ones take no room."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from snk.resync.counters import Counters, text
from snk.resync.database import Holding
from snk.resync.mapping import Mapping as Names
from snk.resync.model import MOST, Counter, Keys, Task, Unreadable
from snk.resync.tables import Tables, most

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

    def __init__(self, found: set[bytes], names: Names) -> None:
        self._found = found
        self._names = names
        self._sorted: dict[tuple[Kind, int], set[str]] | None = None

    def leave_out(self, known: Iterable[str]) -> None:
        """Forget names that the database knows, before those of all others are looked at."""
        if self._sorted is None:
            names = [*map(str.encode, known)]
            # Equal names are usual, and summing up hashes takes a fifth of the time that taking a million names out
            # of a set does. Two sets of the same size and sum are equal but for one chance in 2**64.
            if len(names) == len(self._found) and sum(map(hash, names)) == sum(map(hash, self._found)):
                self._found.clear()
            else:
                self._found.difference_update(names)

    def unknown(self, kind: Kind, task: int, known: Iterable[str]) -> set[str]:
        """The keys of a task that belong to no source or worker in the database."""
        if self._sorted is None:
            self._sorted = self._by_task()
        unknown = self._sorted.get((kind, task), set())
        return unknown.difference(known) if unknown else unknown

    def _by_task(self) -> dict[tuple[Kind, int], set[str]]:
        """The names by kind and task; a key that is no counter is left out."""
        parsers = self._names.parsers
        by_task: dict[tuple[Kind, int], set[str]] = {}
        for key in map(text, self._found):
            for kind in KINDS:
                if match := parsers[kind].fullmatch(key):
                    by_task.setdefault((kind, int(match["task"])), set()).add(key)
                    break
        return by_task


class Expected:
    """One task of multiple assignment: its counters, and what the rows say that they hold.

    A task may have a million counters, so they are kept in lists: the keys, the numbers in their names, and the values
    that are expected.
    """

    def __init__(self, holding: Holding, keys: Keys) -> None:
        self.keys = keys
        self._holding = holding
        self._sources = Expectation.of("source", keys.of_sources(holding.rows), holding.rows)
        self._workers = Expectation.of("worker", keys.of_workers(holding.last), holding.last)

    def known(self) -> Iterator[str]:
        """The keys that the database knows."""
        return chain(self._sources.keys, self._workers.keys)

    async def read(self, counters: Counters, found: Tables, scan: Scan) -> Reading:
        """Read the counters."""
        source, worker = found.column("row", "source"), found.column("row", "worker")
        both, task = (self._sources, self._workers), self._holding.task
        bad: dict[str, str] = {}
        for each, column in zip(both, (source, worker), strict=True):
            bad |= each.take_up(scan.unknown(each.kind, task, each.keys), found.names, most(column))
        counts = await self._sources.read(counters, MOST, bad)
        greatest = await self._workers.read(counters, most(source), bad)
        read = Task(task, self.keys, self._holding.rows, counts=counts, last=self._holding.last, greatest=greatest)
        return Reading(read, bad, await counters.expiring([*self.known()]))


@dataclass(slots=True)
class Expectation:
    """Counters of one kind: their keys, the numbers in these names, and the expected values."""

    kind: Kind
    keys: list[str]
    numbers: list[int]
    values: list[int | None]

    @classmethod
    def of(cls, kind: Kind, keys: list[str], told: Mapping[int, int]) -> "Expectation":
        """What the database tells."""
        return cls(kind, keys, list(told), list(told.values()))

    def take_up(self, unknown: set[str], names: Names, most: int) -> dict[str, str]:
        """Add the counters that only Redis knows; return those whose names end in no number."""
        bad: dict[str, str] = {}
        for key in sorted(unknown):
            match = names.parsers[self.kind].fullmatch(key)
            number = match["number"] if match else ""
            if _NUMBER.fullmatch(number) and int(number) <= most:
                self.keys.append(key)
                self.numbers.append(int(number))
                self.values.append(None)  # whatever it holds, it is looked at
            elif self.kind == "source" or number != str(names.row.unassigned):
                bad[key] = f"{number!r} is not the number of a {self.kind}, or too great for its column"
        return bad

    async def read(self, counters: Counters, most: int, bad: dict[str, str]) -> dict[int, Counter]:
        """The counters that hold anything else than expected, by their numbers; add the unreadable ones to ``bad``."""
        held = await counters.unlike(self.keys, self.values)
        found = {at: within(value, most) for at, value in held.items()}
        bad |= {self.keys[at]: value.why for at, value in found.items() if isinstance(value, Unreadable)}
        return {self.numbers[at]: value for at, value in found.items()}


def within(value: Counter, most: int) -> Counter:
    """A counter of sources; one that is greater than its column can hold is unreadable."""
    if isinstance(value, int) and value > most:
        return Unreadable(f"it is {value}, and the column of sources holds at most {most}")
    return value


async def read_pointer(holding: Holding, keys: Keys, counters: Counters, found_in: Tables) -> Reading:
    """Read the pointer of one task of single assignment."""
    limit = most(found_in.column("row", "source"))
    found = {key: within(value, limit) for key, value in (await counters.values([keys.pointer])).items()}
    task = Task(holding.task, keys, holding.rows, pointer=found[keys.pointer])
    bad = {key: value.why for key, value in found.items() if isinstance(value, Unreadable)}
    return Reading(task, bad, await counters.expiring([keys.pointer]))
