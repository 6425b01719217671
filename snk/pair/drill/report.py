"""The results of a drill: as values, as a table for people, as a JSON document."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich import box
from rich.table import Table

from snk.pair.drill.books import Findings

Verdict = Literal["held", "rows lost", "rows doubled", "not healed", "not inflicted", "skipped"]
COLOURS: dict[Verdict, str] = {"held": "green", "skipped": "yellow"}
# Verdicts that the last line counts separately; lost and duplicated rows have their own counts there.
BESIDE: tuple[Verdict, ...] = ("skipped", "not inflicted", "not healed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one fault.

    Attributes:
        fault: its name.
        sentence: what it is.
        verdict: ``held`` if it was inflicted, healed, and both sides matched the books exactly afterwards.
        seen: what was observed of it, and of its end.
        trouble: what went wrong, with the last output of the daemons; empty if nothing did.
        rows_committed: by the drill, from the end of the previous fault to the end of this one.
        rows_lost: committed rows that are not on both sides as written, and were not found after an earlier fault.
        rows_doubled: rows that a side holds twice, or that exist and were not committed.
        longest_delay_seconds: of a row, from its commit on one side until it was visible on the other.
        fault_seconds: from the beginning of the fault to the beginning of its end.
        recovery_seconds: from then until everything committed before had arrived.
    """

    fault: str
    sentence: str
    verdict: Verdict
    seen: str = ""
    trouble: str = ""
    rows_committed: int = 0
    rows_lost: int = 0
    rows_doubled: int = 0
    longest_delay_seconds: float = 0.0
    fault_seconds: float = 0.0
    recovery_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """The result of the whole drill.

    Attributes:
        outcomes: of the faults, in their order.
        rows_committed: in total.
        findings: of the last comparison of both sides; lost and duplicated rows remain in it.
        seconds: how long it took.
        complete: whether all faults were run; False if the drill was stopped.
    """

    outcomes: tuple[Outcome, ...]
    rows_committed: int
    findings: Findings
    seconds: float
    complete: bool

    @property
    def inflicted(self) -> int:
        """How many faults took place."""
        return sum(outcome.verdict not in ("skipped", "not inflicted") for outcome in self.outcomes)

    @property
    def held(self) -> bool:
        """Whether every fault that is possible here was inflicted and healed, and no row was lost or duplicated."""
        verdicts = {outcome.verdict for outcome in self.outcomes}
        return self.complete and self.findings.clean and "held" in verdicts and verdicts <= {"held", "skipped"}

    def last_line(self) -> str:
        """The whole drill in one line."""
        parts = [
            f"{self.inflicted} fault{'' if self.inflicted == 1 else 's'}",
            f"{self.rows_committed:,} rows committed",
            f"{len(self.findings.lost):,} lost",
            f"{self.findings.doubled:,} doubled",
        ]
        counts = Counter(outcome.verdict for outcome in self.outcomes)
        parts += [f"{counts[verdict]} {verdict}" for verdict in BESIDE if counts[verdict]]
        return ", ".join(parts)

    def document(self) -> dict[str, Any]:
        """The whole drill as a JSON document."""
        return {
            "held": self.held,
            "complete": self.complete,
            "seconds": self.seconds,
            "faults_inflicted": self.inflicted,
            "rows_committed": self.rows_committed,
            "rows_lost": len(self.findings.lost),
            "rows_doubled": self.findings.doubled,
            "faults": [asdict(outcome) for outcome in self.outcomes],
        }


def table(outcomes: tuple[Outcome, ...]) -> Table:
    """The outcomes for people, one line each."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    made.add_column("fault", no_wrap=True)
    for heading in ("lasted", "rows\ncommitted", "rows\nlost", "rows\ndoubled", "longest\ndelay", "caught\nup in"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("verdict", no_wrap=True)
    for outcome in outcomes:
        made.add_row(outcome.fault, *_figures(outcome), f"[{colour(outcome)}]{outcome.verdict}[/]")
    return made


def colour(outcome: Outcome) -> str:
    """The colour in which its verdict is shown."""
    return COLOURS.get(outcome.verdict, "bold red")


def _figures(outcome: Outcome) -> list[str]:
    if outcome.verdict == "skipped":
        return ["-"] * 6
    return [
        f"{outcome.fault_seconds:.1f} s",
        f"{outcome.rows_committed:,}",
        f"{outcome.rows_lost:,}",
        f"{outcome.rows_doubled:,}",
        f"{outcome.longest_delay_seconds:.2f} s",
        f"{outcome.recovery_seconds:.2f} s",
    ]
