"""Output for people: progress during the run, and the summary at the end."""

import asyncio
import time
from collections import deque

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tst.load import Load

LINE_SECONDS = 5.0
LIVE_SECONDS = 0.25
LIVE_WINDOW = 8


class Rate:
    """Rows per second over the last intervals between looks.

    Args:
        looks: the number of intervals to average over.
    """

    def __init__(self, looks: int) -> None:
        self._seen = deque([(time.monotonic(), 0)], maxlen=looks + 1)

    def look(self, rows: int) -> float:
        """Record how many rows have been committed by now; return the rate."""
        self._seen.append((time.monotonic(), rows))
        (earlier, before), (now, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - earlier) if now > earlier else 0.0


async def report_progress(load: Load, console: Console) -> None:
    """Until cancelled, show rows and rows per second: one live line on a terminal, else a line every 5 seconds."""
    if console.is_terminal:
        rate = Rate(LIVE_WINDOW)
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(Text(_progress(load, rate)), refresh=True)
                await asyncio.sleep(LIVE_SECONDS)
    rate = Rate(1)
    while True:
        await asyncio.sleep(LINE_SECONDS)
        console.print(_progress(load, rate), highlight=False)


def summary(load: Load) -> str:
    """The final line: rows, seconds, rows per second, rows per side, and rows in doubt if there are any.

    For example ``200000 rows in 2.51 s, 79681 rows/s (first 101000, second 99000)``.
    """
    rows = sum(load.committed.values())
    per_second = rows / load.seconds if load.seconds else 0.0
    sides = ", ".join(f"{label} {count}" for label, count in load.committed.items())
    doubt = f"; {load.in_doubt} more in doubt: their server went away" if load.in_doubt else ""
    return f"{rows} rows in {load.seconds:.2f} s, {per_second:.0f} rows/s ({sides}){doubt}"


def _progress(load: Load, rate: Rate) -> str:
    rows = sum(load.committed.values())
    return f"{rows} rows, {rate.look(rows):.0f} rows/s"
