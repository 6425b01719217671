"""What the pages of the watch show of its rounds. Pure."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from snk.http.portal.charts import Line, lines
from snk.http.portal.history import History
from snk.resync.watch import Verdict, WatchStatus

LINE_LOOKS = ("one", "two", "three")
MOST_MEASURED = 100
"""Projects of which the differences are kept for the chart: those that have most."""
KINDS: Mapping[str, str] = {
    "missing": "rows that are counted and not there",
    "behind": "a counter is less than the rows say",
    "absent": "a counter does not exist",
    "duplicate": "a source has several rows",
    "too_many": "more rows are missing than may be inserted",
    "too_far": "a counter is far beyond every source",
    "unreadable": "a counter is no number",
}


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project.

    Attributes:
        kinds: how many differences there are of each kind.
    """

    verdict: Verdict
    kinds: Sequence[tuple[str, int]]

    @property
    def project(self) -> str:
        """Its id."""
        return self.verdict.project

    @property
    def total(self) -> int:
        """How many differences and unreadable counters it has."""
        return sum(count for _, count in self.kinds)

    @property
    def look(self) -> str:
        """The class that colours its state."""
        return "good" if self.verdict.equal else "bad"

    @property
    def state(self) -> str:
        """In a word."""
        return "equal" if self.verdict.equal else "different"


def rows(status: WatchStatus) -> list[ProjectRow]:
    """All projects, those with most differences first."""
    found = [ProjectRow(each, kinds(each)) for each in status.projects]
    return sorted(found, key=lambda row: (-row.total, row.project))


def kinds(verdict: Verdict) -> list[tuple[str, int]]:
    """How many differences of each kind a project has; unreadable counters are a kind of their own."""
    counts = Counter({**verdict.differences, "unreadable": verdict.unreadable})
    return [(kind, counts[kind]) for kind in KINDS if counts[kind]]


def in_all(found: Sequence[ProjectRow]) -> list[tuple[str, int]]:
    """How many differences of each kind all projects have together."""
    counts: Counter[str] = Counter()
    for row in found:
        counts.update(dict(row.kinds))
    return [(kind, counts[kind]) for kind in KINDS if counts[kind]]


def since_checked(status: WatchStatus, now: float) -> float | None:
    """How long ago a project was checked last; None if none was."""
    checked = [each.checked_at for each in status.projects]
    return max(0.0, now - max(checked)) if checked else None


def measured(status: WatchStatus) -> dict[str, float]:
    """The differences of the projects that have most."""
    most = sorted(status.differences.items(), key=lambda each: -each[1])
    return {project: float(count) for project, count in most[:MOST_MEASURED]}


@dataclass(frozen=True, slots=True)
class Chart:
    """The differences of the last hour.

    Attributes:
        lines: those of the projects that had most.
        others: how many other projects had some.
    """

    lines: Sequence[Line]
    others: int
    svg: Markup


def chart(history: History, now: float) -> Chart:
    """The chart of what was measured; ``now`` is its right edge if nothing was."""
    worst: Counter[str] = Counter()
    for sample in history.samples:
        for project, count in sample.values.items():
            worst[project] = max(worst[project], round(count))
    shown = sorted(worst.items(), key=lambda each: (-each[1], each[0]))[: len(LINE_LOOKS)]
    drawn = [
        Line(project, [(sample.at, sample.values.get(project, 0.0)) for sample in history.samples], look)
        for (project, _), look in zip(shown, LINE_LOOKS, strict=False)
    ]
    last = history.samples[-1].at if history.samples else now
    made = lines("Differences", drawn, now=last, seconds=history.seconds, unit="differences")
    return Chart(drawn, len(worst) - len(shown), Markup(made))  # noqa: S704 - made there


def commands(project: str) -> list[tuple[str, str]]:
    """The commands that repair a project, and what each does."""
    named = shlex.quote(project)
    named = f"-- {named}" if project.startswith("-") else named
    return [
        (f"snk resync sync {named}", "checks, asks before each part, repairs, and checks again"),
        (f"snk resync plan --out plan.json {named}", "only writes the plan down"),
        ("snk resync apply plan.json", "applies that plan, exactly, or not at all"),
    ]
