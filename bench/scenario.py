"""A scenario as data: its cases, the contenders that run them, and the figures that count."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import uvloop

from bench.contenders.contender import Contender
from bench.ground import WARM_ROWS, Ground, ground
from bench.results import Result

Maker = Callable[[], Contender]


class Measure(Protocol):
    """Measures one contender on fresh servers."""

    async def __call__(self, ground: Ground, contender: Contender) -> dict[str, float]:
        """Return the figures, by name."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure, on fresh servers for every contender and round."""

    name: str
    contenders: Sequence[Maker]
    measure: Measure
    warm_rows: int = WARM_ROWS

    def run(self, rounds: int) -> Iterator[Result]:
        """Run all contenders in turn, round by round; every other round runs in reverse order."""
        for number in range(1, rounds + 1):
            for make in self.contenders if number % 2 else reversed(self.contenders):
                contender = make()
                with ground(contender.options, self.warm_rows) as fresh:
                    yield Result(self.name, contender.name, number, uvloop.run(self.measure(fresh, contender)))


class Runnable(Protocol):
    """A case, or anything else that can run."""

    def run(self, rounds: int) -> Iterable[Result]:
        """Return all measurements."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How to show a figure.

    Attributes:
        name: the name of the figure.
        title: the heading of its column.
        digits: digits after the decimal point.
        less: smaller is better, so the ratio is inverted.
        compared: show ratios to the other contenders.
    """

    name: str
    title: str
    digits: int = 0
    less: bool = False
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """Cases that belong together: one command measures them, one table and one plot show them.

    Attributes:
        name: its name on the command line and in file names.
        title: the heading of the table.
        about: what the table shows, in a sentence or two.
        shown: the columns; the first is plotted.
        cases: what is measured.
        gathers: names of other scenarios; this one shows other figures of theirs, and measures nothing.
    """

    name: str
    title: str
    about: str
    shown: Sequence[Shown]
    cases: Sequence[Runnable] = field(default_factory=tuple[Any, ...])
    gathers: Sequence[str] = ()
