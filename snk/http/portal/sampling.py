"""Measures at equal intervals while a process runs, whether anybody looks or not."""

import asyncio
import time
from collections.abc import Callable, Mapping

from snk.http.portal.history import History
from snk.pause import pause


async def sample(history: History, measure: Callable[[], None], stop: asyncio.Event) -> None:
    """Measure until ``stop`` is set, as often as the history holds samples."""
    while not stop.is_set():
        await pause(stop, history.every_seconds)
        measure()


class Rates:
    """How fast counts grow from one look to the next."""

    def __init__(self) -> None:
        self._before: Mapping[str, int] = {}
        self._at = time.monotonic()

    def of(self, counts: Mapping[str, int]) -> dict[str, float]:
        """The growth of each count per second since the last look; a new one has grown from 0."""
        now = time.monotonic()
        rates = {name: (count - self._before.get(name, 0)) / (now - self._at) for name, count in counts.items()}
        self._before, self._at = counts, now
        return rates
