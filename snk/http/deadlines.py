"""Ends what takes too long. One look at all of it, again and again, costs less than a timer for each request."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

LOOK_SECONDS = 0.02

T = TypeVar("T")


class Deadlines:
    """The tasks that wait for something, and until when."""

    def __init__(self) -> None:
        self._ends: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, seconds: float, awaited: Awaitable[T]) -> T:
        """Wait for something so many seconds at most, or a little longer.

        Raises:
            TimeoutError: it was not there in time; it is cancelled.
        """
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None  # noqa: S101 - only tasks wait
        self._ends[task] = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_later(LOOK_SECONDS, self._look)
        try:
            return await awaited
        except asyncio.CancelledError:
            if task in self._late and task.cancelling() == 1:
                raise TimeoutError from None
            raise
        finally:
            del self._ends[task]
            if task in self._late:
                self._late.remove(task)
                task.uncancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, end in self._ends.items():
            if now >= end and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._timer = loop.call_later(LOOK_SECONDS, self._look) if self._ends else None
