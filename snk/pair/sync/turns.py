"""Makes flows that keep up work one after another.

This leaves the servers' processors to the applications, and batches grow meanwhile. No flow waits long for its turn: a
flow whose statement hangs must not stop the others.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

TURN_SECONDS = 0.1
FEW = 2  # both flows of a table


class Turns:
    """Decides which flow of a daemon has its turn."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._awake = 0

    @property
    def crowd(self) -> float:
        """How many flows are awake, as a multiple of those that may poll as often as they like; at least 1."""
        return max(1.0, self._awake / FEW)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Inside the block, one more flow is awake."""
        self._awake += 1
        try:
            yield
        finally:
            self._awake -= 1

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Inside the block, one of them is not."""
        self._awake -= 1
        try:
            yield
        finally:
            self._awake += 1

    @asynccontextmanager
    async def taken(self) -> AsyncIterator["Turn"]:
        """Hold a turn inside the block; after waiting `TURN_SECONDS`, proceed without one."""
        turn = NO_TURN
        with suppress(TimeoutError):
            async with asyncio.timeout(TURN_SECONDS):
                await self._lock.acquire()
                turn = Turn(self._lock)
        try:
            yield turn
        finally:
            turn.give_up()


class Turn:
    """One turn; it lasts until the flow gives it up or the block ends."""

    def __init__(self, lock: asyncio.Lock | None) -> None:
        self._lock = lock

    def give_up(self) -> None:
        """Let other flows proceed before a wait."""
        if self._lock:
            self._lock.release()
            self._lock = None


NO_TURN = Turn(None)
"""For those that need none: there is nothing to give up."""
