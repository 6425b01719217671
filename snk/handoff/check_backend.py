"""Asks one backend in intervals whether it is alive, and wakes whatever waits for it."""

import asyncio
from contextlib import suppress

import structlog

from snk.core.backoff import Backoff
from snk.handoff.backend import Backend
from snk.handoff.client import BackendClient

log = structlog.get_logger()

MOST_ANSWER_SECONDS = 5.0


class CheckBackend:
    """The check of one backend."""

    def __init__(self, backend: Backend, client: BackendClient, every_seconds: float) -> None:
        self._backend = backend
        self._client = client
        self._every = every_seconds
        self._told: bool | None = None
        self._backoff = Backoff(min(0.1, every_seconds), every_seconds)

    async def run(self) -> None:
        """Check for ever."""
        while True:
            self._backend.wake_checker.clear()
            alive = await self.once()
            pause = self._every if alive else self._backoff.wait_seconds(self._backend.chance())
            self._backoff = Backoff(self._backoff.first_seconds, self._every, 0 if alive else self._backoff.tries + 1)
            await asyncio.sleep(min(pause, self._backoff.first_seconds))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._backend.wake_checker.wait()

    async def once(self) -> bool:
        """Ask once; return whether it is alive."""
        backend = self._backend
        why = await self._client.alive(min(MOST_ANSWER_SECONDS, max(1.0, self._every)))
        backend.alive = not why
        if why:
            backend.last_error = why
        if backend.alive != self._told:
            self._told = backend.alive
            if why:
                log.warning("backend_down", backend=backend.name, reason=why, effect="its lines wait")
            else:
                log.info("backend_alive", backend=backend.name, pending_lines=backend.pending)
        if backend.alive:
            backend.wake()
        return backend.alive
