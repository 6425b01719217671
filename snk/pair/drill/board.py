"""How the drill goes, while it goes: a table that grows on a terminal, plain lines elsewhere."""

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
    """Is told how the drill goes."""

    def begins(self, fault: Fault) -> None:
        """A fault has its turn."""

    def says(self, words: str) -> None:
        """What happens now."""

    def ended(self, outcome: Outcome) -> None:
        """What came of it."""


class Lines:
    """Two lines a fault: what it is, and what was seen."""

    def __init__(self, console: Console, faults: int) -> None:
        self._console = console
        self._faults = faults
        self._count = 0

    def begins(self, fault: Fault) -> None:
        """Say what it is."""
        self._count += 1
        self._print(f"{self._count}/{self._faults} {fault.name}: {fault.sentence}")

    def says(self, words: str) -> None:
        """Nothing: every step would be a line."""

    def ended(self, outcome: Outcome) -> None:
        """Say what was seen, and what it did to rows."""
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
    """The table so far, and below it the fault that has its turn."""

    def __init__(self, faults: int) -> None:
        self._faults = faults
        self._outcomes: list[Outcome] = []
        self._fault: Fault | None = None
        self._words = "servers and daemon start"
        self._since = time.monotonic()
        self._spinner = Spinner("dots")

    def begins(self, fault: Fault) -> None:
        """Show it below the table."""
        self._fault, self._since = fault, time.monotonic()

    def says(self, words: str) -> None:
        """Show it beside the spinner."""
        self._words = words

    def ended(self, outcome: Outcome) -> None:
        """Move it into the table."""
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
    """A board that fits where it is shown; on a terminal it is gone at the end."""
    if not console.is_terminal:
        yield Lines(console, faults)
        return
    screen = Screen(faults)
    with Live(screen, console=console, refresh_per_second=8, transient=True):
        yield screen


def conclude(console: Console, outcomes: tuple[Outcome, ...], *, told: bool) -> None:
    """The table for good; with what was seen, unless lines have told of it.

    Args:
        console: where to print.
        outcomes: of all faults.
        told: whether each outcome was printed already.
    """
    console.print(table(outcomes))
    for outcome in () if told else outcomes:
        words = f"[{colour(outcome)}]{outcome.fault}[/] {escape(outcome.sentence)}\n    {escape(outcome.seen)}"
        console.print(words + (f"\n    [red]{escape(outcome.trouble)}[/]" if outcome.trouble else ""), soft_wrap=True)
