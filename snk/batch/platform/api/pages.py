"""What a node tells of itself and of the platform: /health, /status and /metrics."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snk.batch.platform.api.desk import Desk
from snk.batch.platform.census import Census, census
from snk.batch.scopes import STATUS
from snk.errors import SnkError
from snk.http.api.counts import Answers
from snk.http.api.entry import Entry
from snk.http.api.health import add_health
from snk.http.auth.authority import Client
from snk.http.pages import exposition

RECENT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a node knows of itself.

    Attributes:
        node: its name.
        calls: how many calls of consumers are under way here.
        most_calls: how many there may be.
        answers: what its API answered.
    """

    node: str
    calls: int
    most_calls: int
    answers: Answers


@dataclass(frozen=True, slots=True)
class Status:
    """Both."""

    seen: Seen
    census: Census

    @property
    def as_json(self) -> dict[str, Any]:
        """The status, as ``/status`` shows it."""
        seen = self.seen
        return {
            "node": seen.node,
            "calls": {"most": seen.most_calls, "under_way": seen.calls},
            "platform": asdict(self.census),
            "answers": seen.answers.as_json,
            "under_way": seen.answers.under_way,
        }


_GAUGES = {
    "queued": "Live runs whose turn it is not.",
    "overdue": "Live runs whose deadline has passed.",
    "due": "Runs that wait for a node.",
    "oldest_due_seconds": "How long a run has waited for a node.",
    "calls": "Calls of consumers that are under way on all nodes.",
    "nodes": "Nodes that are alive.",
}


class Recent:
    """A sign of life that is asked for once a second at most, however many ask.

    Args:
        ask: raises an error if there is none.
        clock: in seconds.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._until = float("-inf")
        self._error: SnkError | None = None

    async def __call__(self) -> None:
        """Raise the same error as a moment ago, or ask again."""
        async with self._one_at_a_time:
            if self._clock() >= self._until:
                await self._look()
            if self._error is not None:
                raise self._error.with_traceback(None)

    async def _look(self) -> None:
        self._error = None
        try:
            await self._ask()
        except SnkError as error:
            self._error = error
        self._until = self._clock() + RECENT_SECONDS


class StatusCollector(Collector):
    """Converts one status to metrics."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        runs = GaugeMetricFamily("snk_batch_runs", "Live runs by state.", labels=["state"])
        for state, count in self._status.census.runs.items():
            runs.add_metric([state], count)
        yield runs
        for name, words in _GAUGES.items():
            yield GaugeMetricFamily(f"snk_batch_{name}", words, getattr(self._status.census, name))
        seen = self._status.seen
        yield GaugeMetricFamily("snk_batch_node_calls", "Calls of consumers that are under way here.", seen.calls)
        yield seen.answers.counted("snk_batch_answers", "Answers by kind of request.")
        yield seen.answers.timed("snk_batch_seconds")


def add_pages(app: FastAPI, desk: Desk, entry: Entry, seen: Callable[[], Seen]) -> None:
    """Add the pages.

    Args:
        app: where they are added.
        desk: where the platform's tables are looked at.
        entry: lets clients in.
        seen: what the node knows of itself just now.
    """
    trusted = Annotated[Client, Depends(entry.to(STATUS))]

    add_health(app, Recent(desk.pool.answers))

    @app.get("/status", include_in_schema=False)
    async def whole(_: trusted) -> Response:
        return JSONResponse(Status(seen(), await desk.asked(census)).as_json)

    @app.get("/metrics", include_in_schema=False)
    async def metrics(_: trusted) -> Response:
        status = Status(seen(), await desk.asked(census))
        return Response(exposition(StatusCollector(status)), media_type=CONTENT_TYPE_LATEST)
