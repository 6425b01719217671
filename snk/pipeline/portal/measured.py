"""Rates and the lag of the last hour, measured while the pipeline runs, whether anybody looks or not."""

import asyncio
import time

from snk.http.portal.history import History
from snk.http.portal.sampling import sample
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
        await sample(self.history, self._measure, stop)

    def _measure(self) -> None:
        try:
            status = self._recent.status()
        except (OSError, ValueError):  # push or a person moves files while they are looked at
            return
        rates = {"pull": status.pull, "push": status.push}
        values = {name: report.per_second if report.fresh else 0.0 for name, report in rates.items()}
        self.history.add(time.time(), {**values, "lag": status.lag_seconds})
