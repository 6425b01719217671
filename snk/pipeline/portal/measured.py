"""Rates and the lag of the last hour, measured while the pipeline runs, whether anybody looks or not."""

import asyncio
import time
from contextlib import suppress

from snk.http.portal.history import History
from snk.pause import pause
from snk.pipeline.status import Recent

EVERY_SECONDS = 10.0
"""A look at the folders of a day costs some milliseconds."""


class Measured:
    """What pull and push did.

    Attributes:
        history: records per second as ``pull`` and ``push``, and the lag in seconds as ``lag``.
    """

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
        self.history = History(EVERY_SECONDS)

    async def run(self, stop: asyncio.Event) -> None:
        """Measure until ``stop`` is set."""
        while not stop.is_set():
            await pause(stop, self.history.every_seconds)
            with suppress(OSError, ValueError):  # push or a person moves files while they are looked at
                self._measure()

    def _measure(self) -> None:
        status = self._recent.status()
        rates = {"pull": status.pull, "push": status.push}
        values = {name: report.per_second if report.fresh else 0.0 for name, report in rates.items()}
        self.history.add(time.time(), {**values, "lag": status.lag_seconds})
