"""Shows the progress of the drill: a growing table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.text import Text

from snk.pair.drill.fault import Fault
from snk.pair.drill.report import Outcome, colour, table


class Board(Protocol):
    """Receives the progress of the drill."""

    def begins(self, fault: Fault) -> None:
        """A fault begins."""

    def says(self, words: str) -> None:
        """What is happening now."""

    def ended(self, outcome: Outcome) -> None:
        """A fault ended with this outcome."""


class Lines:
    """Two lines per fault: what it is, and what was observed."""

    def __init__(self, console: Console, faults: int) -> None:
        self._console = console
        self._faults = faults
        self._count = 0

    def begins(self, fault: Fault) -> None:
        """Print what the fault is."""
        self._count += 1
        self._print(f"{self._count}/{self._faults} {fault.name}: {fault.sentence}")

    def says(self, words: str) -> None:
        """Print nothing: every step would be a line."""

    def ended(self, outcome: Outcome) -> None:
        """Print what was observed, and the effect on rows."""
        if outcome.seen:
            self._print(f"     {outcome.seen}")
        if outcome.verdict != "skipped":
            rows = f"{outcome.rows_committed:,} rows, {outcome.rows_lost:,} lost, {outcome.rows_doubled:,} doubled"
            self._print(f"     {rows}, longest delay {outcome.longest_delay_seconds:.2f} s: {outcome.verdict}")
        if outcome.trouble:
            self._print("\n".join(f"     {line}" for line in outcome.trouble.splitlines()))

    def _print(self, words: str) -> None:
        self._console.print(words, soft_wrap=True, markup=False)


class Screen:
    """The table so far, and below it the current fault."""

    def __init__(self, faults: int) -> None:
        self._faults = faults
        self._outcomes: list[Outcome] = []
        self._fault: Fault | None = None
        self._words = "servers and daemon start"
        self._since = time.monotonic()
        self._spinner = Spinner("dots")

    def begins(self, fault: Fault) -> None:
        """Show the fault below the table."""
        self._fault, self._since = fault, time.monotonic()

    def says(self, words: str) -> None:
        """Show the words beside the spinner."""
        self._words = words

    def ended(self, outcome: Outcome) -> None:
        """Move the fault into the table."""
        self._outcomes.append(outcome)
        self._fault = None

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [table(tuple(self._outcomes))] if self._outcomes else []
        if self._fault:
            number = f"{len(self._outcomes) + 1}/{self._faults}"
            parts.append(Text.from_markup(f"{number} [bold]{self._fault.name}[/]: {escape(self._fault.sentence)}"))
        seconds = time.monotonic() - self._since
        self._spinner.update(text=Text(f"{seconds:4.1f} s  {self._words}", style="dim"))
        return Group(*parts, self._spinner)


@contextmanager
def shown(console: Console, faults: int) -> Iterator[Board]:
    """A board that suits the output; on a terminal, it disappears at the end."""
    if not console.is_terminal:
        yield Lines(console, faults)
        return
    screen = Screen(faults)
    with Live(screen, console=console, refresh_per_second=8, transient=True):
        yield screen


def conclude(console: Console, outcomes: tuple[Outcome, ...], *, told: bool) -> None:
    """Print the final table; include what was observed, unless it was printed already.

    Args:
        console: where to print.
        outcomes: of all faults.
        told: whether each outcome was printed already.
    """
    console.print(table(outcomes))
    for outcome in () if told else outcomes:
        words = f"[{colour(outcome)}]{outcome.fault}[/] {escape(outcome.sentence)}\n    {escape(outcome.seen)}"
        console.print(words + (f"\n    [red]{escape(outcome.trouble)}[/]" if outcome.trouble else ""), soft_wrap=True)
