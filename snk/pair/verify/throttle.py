"""Limits the load of a pass over a table on the server: short statements, and a rest after each of them.

Concurrent passes on one server share one throttle. It runs one statement at a time, whichever table the statement
reads, and all passes rest after each statement.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

SLICE_SECONDS = 0.025
FIRST_ROWS = 2000
LEAST_ROWS = 200
MOST_ROWS = 50_000
MOST_WORKED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Stride:
    """How many rows the next slice of a table contains, so that its statement takes about `SLICE_SECONDS`.

    Each step at most doubles or halves it, because one statement that had to wait says little about the next.
    """

    rows: int = FIRST_ROWS

    def after(self, seconds: float) -> "Stride":
        """The stride after a slice that took ``seconds``."""
        factor = min(2.0, max(0.5, SLICE_SECONDS / max(seconds, 1e-6)))
        return Stride(max(LEAST_ROWS, min(MOST_ROWS, int(self.rows * factor))))


class Throttle:
    """Limits all passes over tables of one server together to a share of one processor."""

    def __init__(
        self,
        share: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._share = share
        self._now = now
        self._sleep = sleep
        self._turn = asyncio.Lock()  # first come, first served, so no table waits for another table's whole pass
        self._rest_until = 0.0

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[None]:
        """Wait for a turn and for the rest after the last statement to end; then run one statement in the block.

        The statement must have a deadline, because the others wait for it.
        """
        async with self._turn:
            await self._sleep(self._rest_until - self._now())
            began = self._now()
            try:
                yield
            finally:
                ended = self._now()
                self._rest_until = ended + rest_seconds(ended - began, self._share)


Throttles = Mapping[str, Throttle]
"""The throttle of each of two servers, by its label."""


def throttles_of(share: float) -> Throttles:
    """New throttles, each limited to this share of one processor."""
    return {label: Throttle(share) for label in ("first", "second")}


def rest_seconds(worked_seconds: float, share: float) -> float:
    """How long to rest after ``worked_seconds`` of work, so that the work takes this share of the time.

    A statement that took long has mostly waited, so at most `MOST_WORKED_SECONDS` count.
    """
    return min(worked_seconds, MOST_WORKED_SECONDS) * (1 / share - 1)
