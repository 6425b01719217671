"""The daemon's HTTP endpoints: ``/health``, ``/status`` and ``/metrics``."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from snk.pair.core.report import DaemonStatus
from snk.pair.status.metrics import exposition


def as_json(status: DaemonStatus) -> dict[str, Any]:
    """The status as ``/status`` shows it: every field by its name, and the values derived from them."""
    told = asdict(status)
    for flow, values in zip(told["flows"], status.flows, strict=True):
        flow["name"] = values.name
    return {"healthy": status.healthy, **told}


def application(status: Callable[[], DaemonStatus]) -> FastAPI:
    """The three endpoints; each response is built from a fresh status."""
    app = FastAPI(title="SNK", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

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
        return JSONResponse(as_json(status()))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(status()), media_type=CONTENT_TYPE_LATEST)

    return app
