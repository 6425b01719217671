"""Rates and lags of the last hour, measured while the daemon runs, whether anybody looks or not: they cost nothing."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

from snk.http.portal.history import History
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.flow import Flow
from snk.pause import pause

WAYS = ("first→second", "second→first")


class Measured:
    """What both directions did, all tables together.

    Attributes:
        history: rows per second as ``rate WAY``, and the greatest lag in seconds as ``lag WAY``.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.history = History()
        self._before: dict[str, int] = {}
        self._at = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until ``stop`` is set."""
        while not stop.is_set():
            await pause(stop, self.history.every_seconds)
            self._measure()

    def _measure(self) -> None:
        ways: dict[str, list[Flow]] = defaultdict(list)
        for flow in self._daemon.flows:
            ways[flow.route.way].append(flow)
        delivered = {way: sum(flow.delivered for flow in flows) for way, flows in ways.items()}
        now = time.monotonic()
        values: dict[str, float] = {}
        for way, flows in ways.items():
            values[f"rate {way}"] = max(0, delivered[way] - self._before.get(way, 0)) / (now - self._at)
            values[f"lag {way}"] = _worst(flows)
        self._before, self._at = delivered, now
        self.history.add(time.time(), values)


def _worst(flows: Sequence[Flow]) -> float:
    """The greatest lag of the flows for which this daemon is responsible."""
    return max((flow.progress.lag_seconds for flow in flows if flow.progress.state != "standby"), default=0.0)
