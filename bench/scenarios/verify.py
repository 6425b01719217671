"""How long it takes to prove that a table is equal on both sides, or to name the rows that differ.

Measures `snk verify`, and reladiff if it is installed (``bench/requirements.lock``), each as a process from start to
end. Nothing writes meanwhile, so no row is in transit and SNK need not wait: it runs with ``--settle 0``, whereas by
default it checks for five seconds whether a difference lasts.

`prepare` fills both sides and `differ` makes them unequal. Then `measure` may be called any number of times, for one
tool after another, on the same data.
"""

import asyncio
import json
import sys
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import NamedTuple, Protocol

from bench.ground import TABLE, Ground, both, fill_alike, run, text, tidy

EACH = 5  # rows that exist only in first, rows that exist only in second, and rows that differ


@dataclass(frozen=True)
class Differences:
    """The uuids of the rows that are not equal; empty if none were changed."""

    only_in_first: frozenset[str] = field(default_factory=frozenset)
    only_in_second: frozenset[str] = field(default_factory=frozenset)
    different: frozenset[str] = field(default_factory=frozenset)


class Ended(NamedTuple):
    """The exit code and output of a process."""

    code: int
    output: str
    errors: str


class Tool(Protocol):
    """A program that compares two tables."""

    @property
    def name(self) -> str:
        """The name in the tables of results."""

    @abstractmethod
    def command(self, ground: Ground) -> Sequence[str]:
        """The command line."""

    @abstractmethod
    def found(self, ended: Ended) -> Differences | None:
        """The differences that it reported; None if it failed."""


class Snk:
    """``snk verify``."""

    name = "snk"

    def command(self, ground: Ground) -> Sequence[str]:  # noqa: ARG002 - it reads its environment
        """The command line; it reports what differs at the first look."""
        return [sys.executable, "-m", "snk", "verify", "--json", "--settle", "0"]

    def found(self, ended: Ended) -> Differences | None:
        """Parse its JSON document."""
        if ended.code not in (0, 1):
            return None
        (told,) = json.loads(ended.output)["tables"]
        kinds = (told[kind] for kind in ("only_in_first", "only_in_second", "different"))
        return Differences(*(frozenset(kind) for kind in kinds))


@dataclass(frozen=True)
class Reladiff:
    """The program reladiff, which compares checksums of key ranges, and splits the ranges that differ.

    Attributes:
        factor: into how many ranges it splits, together with the other settings that were fastest; None for its
            defaults.
    """

    factor: int | None = None

    @property
    def name(self) -> str:
        """Its name, with the factor."""
        return f"reladiff, {self.factor} ranges" if self.factor else "reladiff"

    def command(self, ground: Ground) -> Sequence[str]:
        """The command line; it compares by uuid, because ids may differ, and all columns that must be equal."""
        first, second = (side.dsn for side in ground.sides)
        what = ["--key-columns", "uuid", "--columns", "data"]
        return [sys.executable, "-m", "reladiff", first, TABLE, second, TABLE, *what, "--json", *self._speed]

    def found(self, ended: Ended) -> Differences | None:
        """Parse its lines: each is a row that one side has and the other lacks or has with other values.

        Its exit code is 0 even when it fails.
        """
        if ended.code or "ERROR" in ended.errors:
            return None
        lines = [json.loads(line) for line in ended.output.splitlines()]
        first, second = (frozenset(row[0] for sign, row in lines if sign == wanted) for wanted in "-+")
        return Differences(first - second, second - first, first & second)

    @property
    def _speed(self) -> Sequence[str]:
        if self.factor is None:
            return ()
        # Two threads per server were faster than one, and four were no faster on two cores; nor was a greater
        # --bisection-threshold. The uuid is unique, and the lines need not be sorted.
        factor = ("--bisection-factor", str(self.factor), "--threads", "2")
        return (*factor, "--assume-unique-key", "--skip-sort-results")


def tools(made: Differences) -> list[Tool]:
    """The installed tools; reladiff with its defaults, and with the settings that were fastest for such differences.

    Of the factors from 2 to 512, 2 was the fastest on equal tables and 8 on unequal ones; the default is 32.
    """
    if find_spec("reladiff"):
        return [Snk(), Reladiff(), Reladiff(2 if made == Differences() else 8)]
    print("reladiff is not installed (bench/requirements.lock)")
    return [Snk()]


async def prepare(ground: Ground, rows: int) -> None:
    """Insert the same rows on both sides; then vacuum and flush them."""
    await ground.make_tables()
    await fill_alike(ground, rows)


async def differ(ground: Ground) -> Differences:
    """Make some rows unequal, spread over the table.

    Returns:
        The uuids of these rows.
    """
    first, second = ground.sides
    taken = f"select uuid from {TABLE} order by random() limit {3 * EACH}"
    uuids = (await text(first, f"select string_agg(uuid::text, ' ') from ({taken}) taken")).split()
    made = Differences(*(frozenset(uuids[at::3]) for at in range(3)))
    await run(second, f"delete from {TABLE} where uuid in ({_listed(made.only_in_first)})")
    await run(first, f"delete from {TABLE} where uuid in ({_listed(made.only_in_second)})")
    await run(second, f"update {TABLE} set data = 'other' where uuid in ({_listed(made.different)})")
    await both(ground.sides, tidy)
    return made


async def measure(ground: Ground, tool: Tool, expected: Differences) -> dict[str, float]:
    """Run a tool once.

    Returns:
        ``seconds``: from the start of its process to its end; ``wrong``: 1 if it reported anything other than expected.
    """
    values = {**ground.values, "SNK_TABLES": TABLE, "COLUMNS": "1000"}  # wide enough for a line of reladiff
    began = time.monotonic()
    ended = await _run(tool.command(ground), values)
    seconds = time.monotonic() - began
    return {"seconds": seconds, "wrong": float(tool.found(ended) != expected)}


async def _run(command: Sequence[str], values: Mapping[str, str]) -> Ended:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=values, stdout=pipe, stderr=pipe)
    output, errors = await process.communicate()
    assert process.returncode is not None  # noqa: S101 - it has ended
    return Ended(process.returncode, output.decode(), errors.decode())


def _listed(uuids: frozenset[str]) -> str:
    return ", ".join(f"'{uuid}'" for uuid in uuids)
