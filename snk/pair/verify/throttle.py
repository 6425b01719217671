"""How a pass over a table spares the server: statements that are short, and a rest after each of them.

What a server is asked for by several passes at once comes out of one throttle: one statement after the other, whichever
table it reads, and after each of them a rest that all of them keep.
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
    """How many rows the next slice of a table is to hold, so that its statement takes about `SLICE_SECONDS`.

    It never more than doubles or halves: one statement that had to wait says little about the next.
    """

    rows: int = FIRST_ROWS

    def after(self, seconds: float) -> "Stride":
        """The stride after a slice that took so long."""
        factor = min(2.0, max(0.5, SLICE_SECONDS / max(seconds, 1e-6)))
        return Stride(max(LEAST_ROWS, min(MOST_ROWS, int(self.rows * factor))))


class Throttle:
    """What passes over tables may take of one server: a share of one processor, for all of them together."""

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
        self._turn = asyncio.Lock()  # whoever waits longest comes first, so no table waits for another one's pass
        self._rest_until = 0.0

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[None]:
        """Run one statement in the block, when its turn has come and the rest after the last one is over.

        It is to have a deadline, for the others wait meanwhile.
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
    """New throttles of so much of one processor each."""
    return {label: Throttle(share) for label in ("first", "second")}


def rest_seconds(worked_seconds: float, share: float) -> float:
    """How long to rest after so much work, so that the work takes this share of the time.

    A statement that lasted has mostly waited, so no more than `MOST_WORKED_SECONDS` count.
    """
    return min(worked_seconds, MOST_WORKED_SECONDS) * (1 / share - 1)
