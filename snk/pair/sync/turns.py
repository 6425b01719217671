"""Flows that keep up work one after the other.

That leaves the servers' processors to those who write into them, and batches grow meanwhile. But nobody waits for
long: a flow whose statement hangs must not stop the others.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

TURN_SECONDS = 0.1


class Turns:
    """Whose turn it is, of all flows of a daemon."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator["Turn"]:
        """Have a turn as long as the block lasts; after `TURN_SECONDS` without one, go ahead all the same."""
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
    """One turn, until it is given up or ends."""

    def __init__(self, lock: asyncio.Lock | None) -> None:
        self._lock = lock

    def give_up(self) -> None:
        """Let the others go on: what follows is a wait."""
        if self._lock:
            self._lock.release()
            self._lock = None


NO_TURN = Turn(None)
"""For those that need none: there is nothing to give up."""
