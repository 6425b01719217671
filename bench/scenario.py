"""A scenario as data: its cases, who runs them, and which figure counts."""

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
        """The figures, by name."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure, on fresh servers for every contender and round."""

    name: str
    contenders: Sequence[Maker]
    measure: Measure
    warm_rows: int = WARM_ROWS

    def run(self, rounds: int) -> Iterator[Result]:
        """All contenders in turn, round by round; every other round the other way about."""
        for number in range(1, rounds + 1):
            for make in self.contenders if number % 2 else reversed(self.contenders):
                contender = make()
                with ground(contender.options, self.warm_rows) as fresh:
                    yield Result(self.name, contender.name, number, uvloop.run(self.measure(fresh, contender)))


class Runnable(Protocol):
    """A case, or something that runs in a way of its own."""

    def run(self, rounds: int) -> Iterable[Result]:
        """All measurements."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure as it is shown.

    Attributes:
        name: of the figure.
        title: in the head of its column.
        digits: after the point.
        less: the less the better, so a ratio is turned about.
        compared: ratios to the others are shown.
    """

    name: str
    title: str
    digits: int = 0
    less: bool = False
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """What belongs together: measured by one command, shown in one table and one plot.

    Attributes:
        name: on the command line and of the files.
        title: above the table.
        about: what the table shows, in a sentence or two.
        shown: its columns; the first is plotted.
        cases: what is measured.
        gathers: the names of other scenarios, of which this one shows other figures, and measures nothing.
    """

    name: str
    title: str
    about: str
    shown: Sequence[Shown]
    cases: Sequence[Runnable] = field(default_factory=tuple[Any, ...])
    gathers: Sequence[str] = ()
