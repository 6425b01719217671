"""Shows a demo: what happens in plain lines, and its numbers again and again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

LINE_WIDTH = 120


class Board:
    """On a terminal, the numbers are one line that changes; elsewhere, a line now and then."""

    def __init__(self, console: Console, live: Live | None, every_seconds: float) -> None:
        """Assign.

        Args:
            console: where all is printed.
            live: the line that changes, if there is one.
            every_seconds: how often the numbers are shown.
        """
        self._console = console
        self._live = live
        self._every_seconds = every_seconds
        self._began = time.monotonic()

    def say(self, words: str) -> None:
        """Print what happens, and when."""
        self._print(f"{self._seconds}  {words}")

    async def show(self, numbers: Callable[[], Awaitable[str]]) -> None:
        """Show the numbers, for ever."""
        while True:
            told = await numbers()
            line = f"{self._seconds}    {told}"
            if self._live:
                self._live.update(Text(line), refresh=True)
            else:
                self._print(line)
            await asyncio.sleep(self._every_seconds)

    def clear(self) -> None:
        """Take the numbers off the terminal; they do not change any more."""
        if self._live:
            self._live.update(Text(), refresh=True)

    @property
    def _seconds(self) -> str:
        return f"{time.monotonic() - self._began:5.1f} s"

    def _print(self, words: str) -> None:
        self._console.print(words, soft_wrap=True, markup=False)


@contextmanager
def board(console: Console, *, often_seconds: float, seldom_seconds: float) -> Iterator[Board]:
    """A board that suits the output: on a terminal the numbers are shown often, elsewhere seldom."""
    if not console.is_terminal:
        yield Board(console, None, seldom_seconds)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Board(console, live, often_seconds)


def console_for(*, as_json: bool) -> Console:
    """The console of a demo; without a terminal its lines have one width. A JSON document has stdout for itself."""
    console = Console(stderr=as_json, highlight=False)
    return console if console.is_terminal else Console(stderr=as_json, highlight=False, width=LINE_WIDTH)
