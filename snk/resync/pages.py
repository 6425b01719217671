"""The endpoints of `snk resync watch`: ``/health``, ``/status`` and ``/metrics``."""

from collections.abc import Callable, Iterable
from dataclasses import asdict

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from snk.resync.watch import WatchStatus


def application(status: Callable[[], WatchStatus]) -> FastAPI:
    """The three endpoints; each response is built from a fresh status."""
    app = FastAPI(title="SNK re-sync", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.get("/health")
    async def health(request: Request) -> JSONResponse:
        now = status()
        if now.healthy:
            return JSONResponse({"status": "ok"})
        # A client that is not trusted gets the verdict, but no names or addresses.
        reasons = {"reasons": now.troubles} if request.state.trusted else {}
        return JSONResponse({"status": "not healthy", **reasons}, status_code=503)

    @app.get("/status")
    async def whole() -> JSONResponse:
        now = status()
        return JSONResponse({"healthy": now.healthy, **asdict(now)})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(status()), media_type=CONTENT_TYPE_LATEST)

    return app


def exposition(status: WatchStatus) -> bytes:
    """All current metrics in the Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _StatusCollector(Collector):
    """Converts one status to metrics."""

    def __init__(self, status: WatchStatus) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """Every metric, each with one value per project."""
        up = GaugeMetricFamily("snk_resync_up", "1 if the last round of checks succeeded.")
        up.add_metric([], not self._status.trouble and self._status.rounds > 0)
        took = GaugeMetricFamily("snk_resync_round_seconds", "How long the last successful round took.")
        took.add_metric([], self._status.round_seconds)
        equal = GaugeMetricFamily(
            "snk_resync_equal", "1 if counters and rows of the project are equal.", labels=["project"]
        )
        differing = GaugeMetricFamily("snk_resync_differences", "By kind of difference.", labels=["project", "kind"])
        unreadable = GaugeMetricFamily("snk_resync_unreadable", "Counters that are no counts.", labels=["project"])
        checked = GaugeMetricFamily(
            "snk_resync_checked_timestamp_seconds", "When the project was last checked.", labels=["project"]
        )
        for each in self._status.projects:
            equal.add_metric([each.project], each.equal)
            unreadable.add_metric([each.project], each.unreadable)
            checked.add_metric([each.project], each.checked_at)
            for kind, count in each.differences.items():
                differing.add_metric([each.project, kind], count)
        return [up, took, equal, differing, unreadable, checked]
