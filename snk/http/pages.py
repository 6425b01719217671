"""The endpoints of every daemon: ``/health``, ``/status`` and ``/metrics``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Pages(Generic[S]):
    """What the endpoints show of a status.

    Attributes:
        troubles: why the daemon is not healthy; empty if it is.
        as_json: the status as JSON.
        metrics: the status as Prometheus metrics.
    """

    troubles: Callable[[S], Sequence[str]]
    as_json: Callable[[S], dict[str, Any]]
    metrics: Callable[[S], Collector]


def application(status: Callable[[], S], pages: Pages[S]) -> FastAPI:
    """The three endpoints; each response is built from a fresh status."""
    app = FastAPI(title="SNK", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health(request: Request) -> JSONResponse:
        troubles = pages.troubles(status())
        if not troubles:
            return JSONResponse({"status": "ok"})
        # A client that is not trusted gets the verdict, but no names or addresses.
        reasons = {"reasons": list(troubles)} if request.state.trusted else {}
        return JSONResponse({"status": "not healthy", **reasons}, status_code=503)

    @app.get("/status")
    async def whole() -> JSONResponse:
        return JSONResponse(pages.as_json(status()))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(pages.metrics(status())), media_type=CONTENT_TYPE_LATEST)

    return app


def exposition(collector: Collector) -> bytes:
    """Metrics, and those of the process, in the Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    return generate_latest(registry)
