"""Backlog and rate of the last hour, measured while the server runs, whether anybody looks or not: they cost little."""

import asyncio
import time

from snk.handoff.server import Server
from snk.http.portal.history import History
from snk.pause import pause

MOST_BACKENDS = 50
"""Of so many backends, each has a history of its own; memory for more would be wasted."""
ALL = ""
"""The name of all backends together."""


class Measured:
    """What waited for the backends, and what was done.

    Attributes:
        history: waiting lines as ``backlog NAME``, and lines done per second as ``rate NAME``.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.history = History()
        self._before: dict[str, int] = {}
        self._at = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until ``stop`` is set."""
        while not stop.is_set():
            await pause(stop, self.history.every_seconds)
            self._measure()

    def _measure(self) -> None:
        backends = {name: lane.backend for name, lane in sorted(self._server.lanes.items())}
        synced = {name: backend.counts.synced for name, backend in backends.items()}
        backlog = {name: backend.pending for name, backend in backends.items()}
        now = time.monotonic()
        rates = {name: (done - self._before.get(name, 0)) / (now - self._at) for name, done in synced.items()}
        self._before, self._at = synced, now
        values = {f"backlog {ALL}": float(sum(backlog.values())), f"rate {ALL}": sum(rates.values())}
        for name in list(backends)[:MOST_BACKENDS]:
            values |= {f"backlog {name}": float(backlog[name]), f"rate {name}": rates[name]}
        self.history.add(time.time(), values)
