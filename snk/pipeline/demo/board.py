"""Shows the demo: what happens in plain lines, and the numbers once a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

EVERY_SECONDS = 2.0
OFTEN_SECONDS = 0.5


class Board:
    """On a terminal, the numbers are one line that changes; elsewhere, a line every other second."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console = console
        self._live = live
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
            await asyncio.sleep(OFTEN_SECONDS if self._live else EVERY_SECONDS)

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
def board(console: Console) -> Iterator[Board]:
    """A board that suits the output."""
    if not console.is_terminal:
        yield Board(console, None)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield Board(console, live)
