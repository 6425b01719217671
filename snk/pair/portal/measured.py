"""Rates and lags of the last hour, measured while the daemon runs, whether anybody looks or not: they cost nothing."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

from snk.http.portal.history import History
from snk.http.portal.sampling import Rates, sample
from snk.pair.sync.daemon import Daemon
from snk.pair.sync.flow import Flow

WAYS = ("first→second", "second→first")


class Measured:
    """What both directions did, all tables together.

    Attributes:
        history: rows per second as ``rate WAY``, and the greatest lag in seconds as ``lag WAY``.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.history = History()
        self._rates = Rates()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until ``stop`` is set."""
        await sample(self.history, self._measure, stop)

    def _measure(self) -> None:
        ways: dict[str, list[Flow]] = defaultdict(list)
        for flow in self._daemon.flows:
            ways[flow.route.way].append(flow)
        delivered = {way: sum(flow.delivered for flow in flows) for way, flows in ways.items()}
        rates = self._rates.of(delivered)
        values: dict[str, float] = {}
        for way, flows in ways.items():
            values[f"rate {way}"] = max(0.0, rates[way])
            values[f"lag {way}"] = _worst(flows)
        self.history.add(time.time(), values)


def _worst(flows: Sequence[Flow]) -> float:
    """The greatest lag of the flows for which this daemon is responsible."""
    return max((flow.progress.lag_seconds for flow in flows if flow.progress.state != "standby"), default=0.0)
