"""What the service tells of itself: /health, /status and /metrics."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snk.http.api.entry import Entry
from snk.http.api.health import add_health
from snk.http.auth.authority import Client
from snk.http.pages import exposition
from snk.serve.counts import Counts
from snk.serve.database import Database

SCOPE = "status:read"


@dataclass(frozen=True, slots=True)
class Status:
    """What the service knows of itself.

    Attributes:
        connections: how many connections to the database there may be.
        in_use: how many there are in use.
        datasets: their names.
    """

    counts: Counts
    connections: int
    in_use: int
    datasets: tuple[str, ...]

    @property
    def as_json(self) -> dict[str, Any]:
        """The status, as ``/status`` shows it."""
        counts = self.counts
        return {
            "datasets": {
                name: {
                    "records_read": counts.records_read[name],
                    "records_written": counts.records_written[name],
                    "replayed": counts.replayed[name],
                }
                for name in self.datasets
            },
            "answers": counts.answers.as_json,
            "aborted": counts.aborted,
            "under_way": counts.answers.under_way,
            "connections": {"most": self.connections, "in_use": self.in_use},
        }


class StatusCollector(Collector):
    """Converts one status to metrics."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """Every metric."""
        counts = self._status.counts
        yield counts.answers.counted("snk_serve_answers", "Answers by kind of request.")
        yield counts.answers.timed("snk_serve_seconds")
        for name, words, counter in (
            ("records_read", "Records in pages and frames.", counts.records_read),
            ("records_written", "Records that were stored.", counts.records_written),
            ("replayed", "Answers that were given before.", counts.replayed),
        ):
            family = CounterMetricFamily(f"snk_serve_{name}", words, labels=["dataset"])
            for dataset in self._status.datasets:
                family.add_metric([dataset], counter[dataset])
            yield family
        yield CounterMetricFamily("snk_serve_aborted", "Answers that broke off.", counts.aborted)
        yield GaugeMetricFamily("snk_serve_under_way", "Requests that are not answered yet.", counts.answers.under_way)
        yield GaugeMetricFamily("snk_serve_connections", "Most connections to the database.", self._status.connections)
        yield GaugeMetricFamily("snk_serve_connections_in_use", "Those that are in use.", self._status.in_use)


def add_pages(app: FastAPI, database: Database, entry: Entry, status: Callable[[], Status]) -> None:
    """Add the pages.

    Args:
        app: where they are added.
        database: which has to be reachable.
        entry: lets clients in.
        status: makes a fresh status.
    """
    trusted = Annotated[Client, Depends(entry.to(SCOPE))]

    add_health(app, database.answers)

    @app.get("/status", include_in_schema=False)
    async def whole(_: trusted) -> Response:
        return JSONResponse(status().as_json)

    @app.get("/metrics", include_in_schema=False)
    async def metrics(_: trusted) -> Response:
        return Response(exposition(StatusCollector(status())), media_type=CONTENT_TYPE_LATEST)
