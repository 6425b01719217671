"""Backlog and rate of the last hour, measured while the server runs, whether anybody looks or not: they cost little."""

import asyncio
import time

from snk.handoff.server import Server
from snk.http.portal.history import History
from snk.http.portal.sampling import Rates, sample

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
        self._rates = Rates()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until ``stop`` is set."""
        await sample(self.history, self._measure, stop)

    def _measure(self) -> None:
        backends = {name: lane.backend for name, lane in sorted(self._server.lanes.items())}
        synced = {name: backend.counts.synced for name, backend in backends.items()}
        backlog = {name: backend.pending for name, backend in backends.items()}
        rates = self._rates.of(synced)
        values = {f"backlog {ALL}": float(sum(backlog.values())), f"rate {ALL}": sum(rates.values())}
        for name in list(backends)[:MOST_BACKENDS]:
            values |= {f"backlog {name}": float(backlog[name]), f"rate {name}": rates[name]}
        self.history.add(time.time(), values)
